//! Alerts of a metric: bounds, and tests that tell a change from chance.

use std::collections::BTreeSet;
use std::sync::Arc;

use satisflow_alerts::{Kind, Rule};
use satisflow_document::Decimal;
use satisflow_kpi::Metric;
use satisflow_rules::{Side, Threshold};

use super::named::grouping_set;
use super::{Checker, decimal, parse_duration};
use crate::raw::{RawAlert, RawMetric, RawSeverity};
use crate::resolved::Catalog;

mod tests_of_change;

const FOR_SECS_DEFAULT: u32 = 300;
const BOUND_DECIMALS: usize = 6;

/// The metric that alerts are of, as it is resolved.
pub(super) struct Of<'a> {
    pub(super) name: &'a str,
    pub(super) raw: &'a RawMetric,
    pub(super) metric: Metric,
    /// Whether it compares others: what it reads is not what it says.
    pub(super) compared: bool,
    pub(super) fingerprint: &'a str,
    pub(super) windows: &'a [usize],
    pub(super) sets: &'a [Vec<usize>],
    pub(super) n_min: i64,
}

/// The bounds that Prometheus compares with, and all that is decided from rows; those with problems are left out.
pub(super) fn alerts(catalog: &Catalog, of: &Of<'_>, checker: &mut Checker<'_>) -> (Vec<Threshold>, Vec<Rule>) {
    let mut known = BTreeSet::new();
    let (mut thresholds, mut rules) = (Vec::new(), Vec::new());
    for (index, raw) in of.raw.alerts.iter().enumerate() {
        let at = format!("/metrics/{}/alerts/{index}", of.name);
        let Some((rule, threshold)) = alert(catalog, of, &at, raw, checker) else { continue };
        let Rule { alert, window, dimensions, severity, .. } = &rule;
        if known.insert((alert.clone(), Arc::clone(window), dimensions.clone(), severity.clone())) {
            rules.push(rule);
            thresholds.extend(threshold);
        } else {
            let message = "there is such an alert of this window, grouping set and severity already".to_owned();
            checker.problem(&at, message, "say another `severity`, or leave one of them out");
        }
    }
    (thresholds, rules)
}

fn alert(
    catalog: &Catalog,
    of: &Of<'_>,
    at: &str,
    raw: &RawAlert,
    checker: &mut Checker<'_>,
) -> Option<(Rule, Option<Threshold>)> {
    if tests_of_change::is_meant(raw) {
        let rule = tests_of_change::rule(catalog, of, at, raw, checker)?;
        return Some((rule, None));
    }
    tests_of_change::says_nothing_of_tests(at, raw, checker);
    if raw.burn.is_some() && raw.duration.is_some() {
        let message = "`for` does nothing where a slower window is passed, too".to_owned();
        checker.problem(&format!("{at}/for"), message, "leave it out");
    }
    let threshold = threshold(catalog, of, at, raw, checker)?;
    let rule = bound(catalog, of, &threshold);
    match &raw.burn {
        None => Some((rule, Some(threshold))),
        Some(burn) => Some((tests_of_change::burn(catalog, of, at, burn, rule, checker)?, None)),
    }
}

/// A bound as it is decided from rows.
fn bound(catalog: &Catalog, of: &Of<'_>, threshold: &Threshold) -> Rule {
    let number = |text: &str| text.parse().unwrap_or_default();
    let for_micros = i64::from(threshold.for_secs) * 1_000_000;
    let kind = Kind::Bound { bound: number(&threshold.bound), clear: number(&threshold.clear), for_micros };
    let found = of.windows.iter().map(|index| &catalog.plan.windows[*index]).find(|w| *w.name == *threshold.window);
    Rule {
        alert: threshold.alert(),
        kpi: threshold.kpi.clone(),
        description: threshold.description.clone(),
        unit: threshold.unit.clone(),
        fingerprint: of.fingerprint.into(),
        metric: of.metric,
        window: threshold.window.as_str().into(),
        span: found.map_or(satisflow_kpi::WindowSpan::All, |window| window.span.clone()),
        dimensions: threshold.dimensions.iter().map(|name| name.as_str().into()).collect(),
        side: match threshold.side {
            Side::Below => satisflow_alerts::Side::Below,
            Side::Above => satisflow_alerts::Side::Above,
        },
        kind,
        n_min: i64::from(threshold.n_min),
        q: 0.5,
        clear_after: 1,
        severity: threshold.severity.clone(),
    }
}

fn severity(raw: &RawAlert) -> String {
    match raw.severity {
        RawSeverity::Page => "page".to_owned(),
        RawSeverity::Warn => "warn".to_owned(),
    }
}

fn threshold(catalog: &Catalog, of: &Of<'_>, at: &str, raw: &RawAlert, checker: &mut Checker<'_>) -> Option<Threshold> {
    let window = window(catalog, of, at, raw, checker);
    let dimensions = dimensions(catalog, of, at, raw, checker);
    let (side, bound, clear) = bounds(at, raw, checker)?;
    Some(Threshold {
        kpi: of.name.to_owned(),
        description: of.raw.description.clone().unwrap_or_default(),
        unit: of.raw.unit.clone().unwrap_or_default(),
        window: window?,
        dimensions: dimensions?,
        side,
        bound,
        clear,
        n_min: raw.n_min.unwrap_or_else(|| u32::try_from(of.n_min).unwrap_or(u32::MAX)),
        for_secs: for_secs(at, raw, checker),
        severity: severity(raw),
    })
}

fn window(catalog: &Catalog, of: &Of<'_>, at: &str, raw: &RawAlert, checker: &mut Checker<'_>) -> Option<String> {
    let known: Vec<&str> = of.windows.iter().map(|index| &*catalog.plan.windows[*index].name).collect();
    if known.contains(&raw.window.as_str()) {
        return Some(raw.window.clone());
    }
    let message = format!("`{}` has no window `{}`", of.name, raw.window);
    checker.problem(&format!("{at}/window"), message, &format!("its windows are {}", known.join(", ")));
    None
}

fn dimensions(
    catalog: &Catalog,
    of: &Of<'_>,
    at: &str,
    raw: &RawAlert,
    checker: &mut Checker<'_>,
) -> Option<Vec<String>> {
    let at = format!("{at}/grouping_set");
    let before = checker.problems.len();
    let set = grouping_set(catalog, &at, &raw.grouping_set, checker);
    if checker.problems.len() == before && !of.sets.contains(&set) {
        let message = format!("`{}` is not grouped by [{}]", of.name, raw.grouping_set.join(", "));
        checker.problem(&at, message, "one of its `grouping_sets`");
    }
    let names = set.iter().map(|index| catalog.dimensions[*index].name.to_string()).collect();
    (checker.problems.len() == before).then_some(names)
}

/// Side, bound and clear of a threshold.
fn bounds(at: &str, raw: &RawAlert, checker: &mut Checker<'_>) -> Option<(Side, String, String)> {
    let (side, bound) = match (&raw.below, &raw.above) {
        (Some(below), None) => (Side::Below, below),
        (None, Some(above)) => (Side::Above, above),
        _ => {
            let hint = "either `below` or `above`, or a test such as `drop: {}` in place of them";
            checker.problem(at, "an alert has one bound".to_owned(), hint);
            return None;
        }
    };
    let clear = raw.clear.as_ref().unwrap_or(bound);
    let scaled = |number: &Decimal| number.scaled(BOUND_DECIMALS);
    let (Some(bound), Some(clear)) = (scaled(bound), scaled(clear)) else {
        checker.problem(at, "a bound is a number of at most 6 decimals".to_owned(), "such as 62.5");
        return None;
    };
    let is_beyond = match side {
        Side::Below => clear >= bound,
        Side::Above => clear <= bound,
    };
    if !is_beyond {
        let message = format!("the alert would end at {} before it begins at {}", decimal(clear), decimal(bound));
        checker.problem(&format!("{at}/clear"), message, "`clear` lies on the good side of the bound");
    }
    is_beyond.then(|| (side, decimal(bound), decimal(clear)))
}

fn for_secs(at: &str, raw: &RawAlert, checker: &mut Checker<'_>) -> u32 {
    let Some(text) = &raw.duration else { return FOR_SECS_DEFAULT };
    let seconds = parse_duration(text).and_then(|micros| u32::try_from(micros / 1_000_000).ok());
    seconds.unwrap_or_else(|| {
        checker.problem(&format!("{at}/for"), format!("`{text}` is not a duration"), "such as 5m");
        FOR_SECS_DEFAULT
    })
}
