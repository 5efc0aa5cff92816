//! Names and windows of a catalog, resolved; each problem with its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use satisflow_document::{Document, Problems};
use satisflow_kpi::{
    CalendarUnit, Comparison, Definition, Kept, Metric, Plan, Validity, Weighting, Window, WindowSpan,
};

use crate::fingerprint::{Parts, fingerprint};
use crate::index::Index;
use crate::macros::{self, Named, ScaleBounds};
use crate::raw::{RawCalendarUnit, RawCatalog, RawIndex, RawMeasure, RawMetric, RawWindow};
use crate::resolved::{Catalog, Dimension, Measure, MetricDefinition};
use named::{metric_kind, metric_sets, metric_windows};

mod alerts;
mod compared;
mod counted;
mod graphs;
mod index;
pub(crate) mod joins;
mod keyed;
mod lasting;
mod named;
mod scales;
mod targets;
mod validity;
mod weighting;

const ZONE_DEFAULT: &str = "Asia/Shanghai";
const N_MIN_DEFAULT: u32 = 30;
const GROUPS_MAX_DEFAULT: u32 = 10_000;
/// Periods of a calendar window: an event is counted once in each window that holds it.
const PERIODS_MAX: u32 = 36;

/// Finds problems, and resolves what it can so that later checks find theirs.
struct Checker<'a> {
    document: &'a Document,
    problems: &'a mut Problems,
}

impl Checker<'_> {
    fn problem(&mut self, pointer: &str, message: String, hint: &str) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.problems.at(self.document, pointer, message, hint);
    }

    /// An expression with its macros expanded; NULL if that can't be.
    fn expanded(&mut self, pointer: &str, sql: &str, named: Named<'_>) -> String {
        macros::expand(sql, named).unwrap_or_else(|fault| {
            self.problem(pointer, fault.message, &fault.hint);
            "NULL".to_owned()
        })
    }
}

pub(crate) fn resolve(
    document: &Document,
    raw: &RawCatalog,
    declared: &[ScaleBounds],
    problems: &mut Problems,
) -> Catalog {
    let mut checker = Checker { document, problems };
    if raw.version != 1 {
        checker.problem("/version", format!("version {} is not known", raw.version), "write `version: 1`");
    }
    let zone = zone(raw.zone.as_deref().unwrap_or(ZONE_DEFAULT), "/zone", &mut checker);
    let scales = scales::scales(&raw.scales, &zone, &mut checker);
    let graphs = graphs::graphs(&raw.graphs, &mut checker);
    let named = Named { declared, scales: &scales, graphs: &graphs };
    let dimensions = dimensions(raw, named, &mut checker);
    let windows = windows(raw, &zone, &mut checker);
    let measures = measures(raw, named, &mut checker);
    let mut catalog = Catalog {
        plan: Plan {
            dimensions: dimensions.iter().map(|d| Arc::clone(&d.name)).collect(),
            windows,
            measures: measures.len(),
            kept: kept(&measures),
            joins: joined(&measures),
            joined_rows: joined_rows(&measures, &dimensions),
            weightings: weighting::weightings(&measures),
            ..Plan::default()
        },
        dimensions,
        measures,
        metrics: Vec::new(),
    };
    for (name, metric) in raw.metrics.iter().filter(|(_, metric)| !compared::is_said(metric)) {
        add_metric(&mut catalog, raw, name, metric, &mut checker);
    }
    let by_itself = catalog.metrics.len();
    for (name, metric) in raw.metrics.iter().filter(|(_, metric)| compared::is_said(metric)) {
        compared::add(&mut catalog, by_itself, raw, name, metric, &mut checker);
    }
    catalog
}

fn kept(measures: &[Measure]) -> BTreeMap<usize, Kept> {
    measures.iter().enumerate().filter_map(|(index, m)| Some((index, m.keyed.as_ref()?.kept))).collect()
}

fn joined(measures: &[Measure]) -> BTreeMap<usize, Vec<satisflow_kpi::Join>> {
    let joined = measures.iter().enumerate().filter(|(_, measure)| !measure.joins.is_empty());
    joined.map(|(index, measure)| (index, measure.joins.iter().map(crate::joins::Join::plan).collect())).collect()
}

/// A row is kept for the dimensions of the catalog too. What its measure reads is told apart by fingerprint.
fn joined_rows(measures: &[Measure], dimensions: &[Dimension]) -> BTreeMap<usize, Arc<str>> {
    let read: Arc<str> = dimensions.iter().map(|d| format!("{}={:?}\n", d.name, d.sql)).collect::<String>().into();
    let joined = measures.iter().enumerate().filter(|(_, measure)| !measure.joins.is_empty());
    joined.map(|(index, _)| (index, Arc::clone(&read))).collect()
}

fn dimensions(raw: &RawCatalog, named: Named<'_>, checker: &mut Checker<'_>) -> Vec<Dimension> {
    let taken = [("kpis", satisflow_kpi::kpis_schema(&[])), ("alerts", satisflow_alerts::alerts_schema(&[]))];
    for name in raw.dimensions.keys() {
        if let Some((table, _)) = taken.iter().find(|(_, schema)| schema.column_with_name(name).is_some()) {
            let message = format!("dimension `{name}` has the name of a column of `{table}`");
            let way_out = format!("call it otherwise, such as `own_{name}`; its expression stays as it is");
            checker.problem(&format!("/dimensions/{name}"), message, &way_out);
        }
    }
    let of = |(name, sql): (&String, &String)| {
        let sql = checker.expanded(&format!("/dimensions/{name}"), sql, named);
        Dimension { name: name.as_str().into(), sql }
    };
    raw.dimensions.iter().map(of).collect()
}

fn windows(raw: &RawCatalog, zone: &TimeZone, checker: &mut Checker<'_>) -> Vec<Window> {
    raw.windows
        .iter()
        .map(|(name, window)| {
            let span = span(&format!("/windows/{name}"), window, zone, checker);
            Window { name: name.as_str().into(), span }
        })
        .collect()
}

fn zone(name: &str, pointer: &str, checker: &mut Checker<'_>) -> TimeZone {
    jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap_or_else(|_| {
        checker.problem(pointer, format!("zone `{name}` is not in the IANA database"), "such as `Europe/Berlin`");
        TimeZone::UTC
    })
}

fn span(pointer: &str, window: &RawWindow, default: &TimeZone, checker: &mut Checker<'_>) -> WindowSpan {
    match (&window.length, &window.step, window.calendar, window.all) {
        (Some(length), Some(step), None, None) if window.last.is_none() => rolling(pointer, length, step, checker),
        (None, None, Some(unit), None) => {
            let zone = window.zone.as_ref().map(|name| zone(name, &format!("{pointer}/zone"), checker));
            let last = last(pointer, window, checker);
            WindowSpan::Calendar { unit: calendar_unit(unit), zone: zone.unwrap_or_else(|| default.clone()), last }
        }
        (None, None, None, Some(true)) if window.last.is_none() => WindowSpan::All,
        _ => {
            checker.problem(
                pointer,
                "a window is either rolling, of the calendar, or all".into(),
                "write `length` and `step`, or `calendar`, with `last` or without, or `all: true`",
            );
            WindowSpan::All
        }
    }
}

fn last(pointer: &str, window: &RawWindow, checker: &mut Checker<'_>) -> u32 {
    let last = window.last.unwrap_or(1);
    if !(1..=PERIODS_MAX).contains(&last) {
        let message = format!("a window of {last} periods");
        checker.problem(&format!("{pointer}/last"), message, &format!("from 1 to {PERIODS_MAX}"));
    }
    last.clamp(1, PERIODS_MAX)
}

fn rolling(pointer: &str, length: &str, step: &str, checker: &mut Checker<'_>) -> WindowSpan {
    let length_at = format!("{pointer}/length");
    let length = duration(&length_at, length, checker);
    let step = duration(&format!("{pointer}/step"), step, checker);
    if length % step != 0 {
        checker.problem(&length_at, "the length is not a multiple of the step".into(), "such as 5m by 1m");
    }
    WindowSpan::Rolling { length, step }
}

/// µs; at least a second.
fn duration(pointer: &str, text: &str, checker: &mut Checker<'_>) -> i64 {
    const SECOND: i64 = 1_000_000;
    let parsed = parse_duration(text).filter(|micros| *micros >= SECOND);
    parsed.unwrap_or_else(|| {
        checker.problem(pointer, format!("`{text}` is not a duration of a second or more"), "such as 90s, 5m, 1h, 7d");
        SECOND
    })
}

fn parse_duration(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some(days) = text.strip_suffix('d') {
        return days.trim().parse::<i64>().ok()?.checked_mul(86_400_000_000);
    }
    let parsed: SignedDuration = text.parse().ok()?;
    i64::try_from(parsed.as_micros()).ok()
}

/// A number of 6 decimals as it is written.
fn decimal(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let (whole, rest) = (number.unsigned_abs() / 1_000_000, number.unsigned_abs() % 1_000_000);
    let text = format!("{sign}{whole}.{rest:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn calendar_unit(unit: RawCalendarUnit) -> CalendarUnit {
    match unit {
        RawCalendarUnit::Day => CalendarUnit::Day,
        RawCalendarUnit::Week => CalendarUnit::Week,
        RawCalendarUnit::Month => CalendarUnit::Month,
        RawCalendarUnit::Quarter => CalendarUnit::Quarter,
        RawCalendarUnit::HalfYear => CalendarUnit::HalfYear,
        RawCalendarUnit::Year => CalendarUnit::Year,
    }
}

fn measures(raw: &RawCatalog, named: Named<'_>, checker: &mut Checker<'_>) -> Vec<Measure> {
    let of = |(name, measure): (&String, &RawMeasure)| {
        let pointer = format!("/measures/{name}");
        let mut text = |field: &str, sql: &str| checker.expanded(&format!("{pointer}/{field}"), sql, named);
        let filter = measure.filter.as_deref().map(|sql| text("filter", sql));
        let value = measure.value.as_deref().map_or("1".to_owned(), |sql| text("value", sql));
        let weight = measure.weight.as_deref().map_or("1".to_owned(), |sql| text("weight", sql));
        let distinct = measure.distinct.as_deref().map(|sql| text("distinct", sql));
        let key = keyed::said(measure).map(|said| (text(&format!("{}/key", said.field), said.raw.key()), said));
        let keyed = key.map(|(key, said)| keyed::keyed(&pointer, &said, key, raw.zone.as_deref(), checker));
        keyed::both(&pointer, measure, checker);
        counted::keyed_and_distinct(&pointer, measure, checker);
        unknown_kinds(&pointer, &measure.kinds, checker);
        let population = weighting::population(&pointer, measure, named, checker);
        let half_life = weighting::half_life(&pointer, measure, checker);
        let joins = joins::joins(&pointer, measure, named, checker);
        let index = measure.index.as_ref().and_then(|raw| index_of(&pointer, measure, raw, named, checker));
        let value = index.as_ref().map_or(value, Index::sql);
        let lasted = lasting::lasted(&pointer, measure, named, checker);
        let (lasts, value) = (lasted.is_some(), lasted.unwrap_or(value));
        let filter = condition(&[("kind", &measure.kinds), ("topic", &measure.topics)], filter);
        let topics = measure.topics.iter().map(|topic| topic.as_str().into()).collect();
        let per_answer = measure.per_answer;
        let (represented, population) = population.unzip();
        let (held, targets) = targets::targets(&pointer, measure, named, checker).unzip();
        let represented = represented.or(held);
        let weighting = Weighting { population, half_life, targets: targets.unwrap_or_default() };
        let weighting = (weighting != Weighting::default()).then_some(weighting);
        Measure {
            name: name.as_str().into(),
            filter,
            value,
            lasts,
            index,
            weight,
            distinct,
            keyed,
            represented,
            weighting,
            joins,
            per_answer,
            topics,
        }
    };
    raw.measures.iter().map(of).collect()
}

fn index_of(
    pointer: &str,
    measure: &RawMeasure,
    raw: &RawIndex,
    named: Named<'_>,
    checker: &mut Checker<'_>,
) -> Option<Index> {
    let at = format!("{pointer}/index");
    if measure.value.is_some() {
        checker.problem(&at, "a measure has a `value` or an `index`, not both".to_owned(), "leave `value` out");
    }
    if measure.per_answer {
        let message = "an index reads all answers of an event, and `per_answer` each by itself".to_owned();
        checker.problem(&at, message, "leave one of them out");
    }
    index::index(&at, raw, named.scales, checker)
}

fn unknown_kinds(pointer: &str, kinds: &[String], checker: &mut Checker<'_>) {
    for (index, kind) in kinds.iter().enumerate() {
        if !satisflow_model::is_kind(kind) {
            let message = format!("`{kind}` is not a kind of event");
            checker.problem(&format!("{pointer}/kinds/{index}"), message, "docs/events.md lists the kinds");
        }
    }
}

/// One of the names listed for each column that lists any, and the filter.
fn condition(lists: &[(&str, &[String])], filter: Option<String>) -> String {
    let one_of = |(column, names): &(&str, &[String])| {
        let quoted: Vec<String> = names.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
        (!names.is_empty()).then(|| format!("{column} IN ({})", quoted.join(", ")))
    };
    let mut parts: Vec<String> = lists.iter().filter_map(one_of).collect();
    match filter {
        Some(filter) if parts.is_empty() => parts.push(filter),
        Some(filter) => parts.push(format!("({filter})")),
        None => {}
    }
    if parts.is_empty() { "true".to_owned() } else { parts.join(" AND ") }
}

/// All topics that measures read; `None` when one of them reads every topic.
fn topics(measures: &[&Measure]) -> Option<Vec<Arc<str>>> {
    let joined = measures.iter().flat_map(|measure| &measure.joins).map(|join| &join.topics);
    let all: Vec<&Vec<Arc<str>>> = measures.iter().map(|measure| &measure.topics).chain(joined).collect();
    if all.iter().any(|topics| topics.is_empty()) {
        return None;
    }
    let mut topics: Vec<Arc<str>> = all.into_iter().flatten().cloned().collect();
    topics.sort_unstable();
    topics.dedup();
    Some(topics)
}

fn add_metric(catalog: &mut Catalog, raw: &RawCatalog, name: &str, metric: &RawMetric, checker: &mut Checker<'_>) {
    let pointer = format!("/metrics/{name}");
    let Some(kind) = metric_kind(catalog, &pointer, metric, checker) else { return };
    let windows = metric_windows(catalog, raw, &pointer, metric, checker);
    weighting::fits(catalog, &pointer, kind, &windows, checker);
    targets::fit(catalog, &pointer, kind, checker);
    lasting::fit(catalog, &pointer, kind, &windows, checker);
    let resolved = ResolvedMetric {
        metric: kind,
        compared: None,
        windows,
        sets: metric_sets(catalog, raw, &pointer, metric, checker),
        n_min: i64::from(metric.n_min.or(raw.defaults.n_min).unwrap_or(N_MIN_DEFAULT)),
        groups_max: metric.groups_max.or(raw.defaults.groups_max).unwrap_or(GROUPS_MAX_DEFAULT) as usize,
        validity: validity::validity(catalog, kind, &pointer, metric.validity.as_ref(), checker),
    };
    push_metric(catalog, name, metric, resolved, checker);
}

/// A metric whose names are found.
struct ResolvedMetric {
    metric: Metric,
    compared: Option<Comparison>,
    windows: Vec<usize>,
    sets: Vec<Vec<usize>>,
    n_min: i64,
    groups_max: usize,
    validity: Validity,
}

fn push_metric(
    catalog: &mut Catalog,
    name: &str,
    raw: &RawMetric,
    resolved: ResolvedMetric,
    checker: &mut Checker<'_>,
) {
    let ResolvedMetric { metric, compared, windows, sets, n_min, groups_max, validity } = resolved;
    let mut definition = Definition {
        name: name.into(),
        fingerprint: "".into(),
        metric,
        compared,
        windows,
        grouping_sets: Vec::new(),
        groups_max,
        topics: None,
        n_min,
        validity,
    };
    let used: Vec<&Measure> = definition.measures().map(|m| &catalog.measures[m]).collect();
    definition.topics = topics(&used);
    let parts = Parts {
        name,
        metric,
        compared: definition.compared.as_ref(),
        measures: used,
        windows: definition.windows.iter().map(|w| &catalog.plan.windows[*w]).collect(),
        grouping_sets: sets.iter().map(|set| set.iter().map(|d| &catalog.dimensions[*d]).collect()).collect(),
        n_min,
        groups_max,
        validity: &definition.validity,
    };
    definition.fingerprint = fingerprint(&parts).into();
    let of = alerts::Of {
        name,
        raw,
        metric,
        compared: definition.compared.is_some(),
        fingerprint: &definition.fingerprint,
        windows: &definition.windows,
        sets: &sets,
        n_min,
    };
    let (alerts, rules) = alerts::alerts(catalog, &of, checker);
    definition.grouping_sets = sets.into_iter().map(|set| intern(&mut catalog.plan.grouping_sets, set)).collect();
    catalog.metrics.push(MetricDefinition {
        name: name.into(),
        description: raw.description.clone().unwrap_or_default(),
        unit: raw.unit.clone().unwrap_or_default(),
        metric,
        compared: definition.compared.clone(),
        alerts,
        rules,
    });
    catalog.plan.definitions.push(definition);
}

fn intern(sets: &mut Vec<Vec<usize>>, set: Vec<usize>) -> usize {
    sets.iter().position(|known| *known == set).unwrap_or_else(|| {
        sets.push(set);
        sets.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_to_days() {
        assert_eq!(parse_duration("90s"), Some(90_000_000));
        assert_eq!(parse_duration("5m"), Some(300_000_000));
        assert_eq!(parse_duration("1h"), Some(3_600_000_000));
        assert_eq!(parse_duration("180d"), Some(180 * 86_400_000_000));
        assert_eq!(parse_duration("soon"), None);
    }
}
