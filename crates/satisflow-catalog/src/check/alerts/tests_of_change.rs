//! Alerts that compare with earlier windows, and bounds that two windows have to pass.

use satisflow_alerts::{Kind, Rule, Side};
use satisflow_document::Decimal;
use satisflow_kpi::{Metric, WindowSpan};

use super::{BOUND_DECIMALS, Of, dimensions, severity, window};
use crate::check::Checker;
use crate::raw::{RawAlert, RawBurn, RawChange, RawChart, RawCusum, RawEwma, RawSide};
use crate::resolved::Catalog;

const BASELINE_DEFAULT: u32 = 20;
const BASELINE_MIN: u32 = 2;
const OVER_DEFAULT: u32 = 10;
const Q_DEFAULT: f64 = 0.05;
const CLEAR_AFTER_DEFAULT: u32 = 3;
/// Rows of a group that one alert may hold in memory.
const ROWS_MAX: u64 = 5_000;
const MILLION: f64 = 1e6;

/// Whether it is a test, not a bound.
pub(super) fn is_meant(raw: &RawAlert) -> bool {
    !kinds(raw).is_empty()
}

fn kinds(raw: &RawAlert) -> Vec<&'static str> {
    let all = [
        ("drop", raw.drop.is_some()),
        ("rise", raw.rise.is_some()),
        ("chart", raw.chart.is_some()),
        ("ewma", raw.ewma.is_some()),
        ("cusum", raw.cusum.is_some()),
    ];
    all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}

/// Fields of tests do nothing for a bound.
pub(super) fn says_nothing_of_tests(at: &str, raw: &RawAlert, checker: &mut Checker<'_>) {
    let of_tests = [("side", raw.side.is_some()), ("q", raw.q.is_some()), ("clear_after", raw.clear_after.is_some())];
    for (name, _) in of_tests.into_iter().filter(|(_, given)| *given) {
        let message = format!("`{name}` does nothing for a bound");
        checker.problem(&format!("{at}/{name}"), message, "leave it out, or use a test such as `drop: {}`");
    }
}

fn says_nothing_of_bounds(at: &str, raw: &RawAlert, kind: &str, checker: &mut Checker<'_>) {
    let of_bounds = [
        ("below", raw.below.is_some()),
        ("above", raw.above.is_some()),
        ("clear", raw.clear.is_some()),
        ("burn", raw.burn.is_some()),
        ("for", raw.duration.is_some()),
    ];
    for (name, _) in of_bounds.into_iter().filter(|(_, given)| *given) {
        let message = format!("`{name}` is of a bound, and the alert is a `{kind}`");
        checker.problem(&format!("{at}/{name}"), message, "leave it out, or make two alerts");
    }
}

/// An alert that is a test; `None` when problems were added.
pub(super) fn rule(
    catalog: &Catalog,
    of: &Of<'_>,
    at: &str,
    raw: &RawAlert,
    checker: &mut Checker<'_>,
) -> Option<Rule> {
    let before = checker.problems.len();
    let name = one_kind(at, raw, checker)?;
    says_nothing_of_bounds(at, raw, name, checker);
    has_an_error(of, at, name, checker);
    tells_its_level(catalog, of, at, name, checker);
    let window = window(catalog, of, at, raw, checker);
    let dimensions = dimensions(catalog, of, at, raw, checker);
    let (kind, side) = kind(at, raw, checker);
    let mut numbers = Numbers { at, checker };
    let q = numbers.share("q", raw.q.as_ref(), Q_DEFAULT);
    let clear_after = numbers.count("clear_after", raw.clear_after, CLEAR_AFTER_DEFAULT, 1);
    let window = window?;
    let span = span_of(catalog, of, &window);
    let rule = Rule {
        alert: satisflow_rules::alert_name(of.name, &word(name, side)),
        kpi: of.name.to_owned(),
        description: of.raw.description.clone().unwrap_or_default(),
        unit: of.raw.unit.clone().unwrap_or_default(),
        fingerprint: of.fingerprint.into(),
        metric: of.metric,
        window: window.as_str().into(),
        span,
        dimensions: dimensions?.iter().map(|name| name.as_str().into()).collect(),
        side,
        kind,
        n_min: raw.n_min.map_or(of.n_min, i64::from),
        q,
        clear_after,
        severity: severity(raw),
    };
    holds(at, name, &rule, checker);
    (checker.problems.len() == before).then_some(rule)
}

fn one_kind(at: &str, raw: &RawAlert, checker: &mut Checker<'_>) -> Option<&'static str> {
    let kinds = kinds(raw);
    if let [one] = kinds[..] {
        return Some(one);
    }
    let message = format!("an alert is one of {}", kinds.join(", "));
    checker.problem(at, message, "make an alert of each");
    None
}

fn word(kind: &str, side: Side) -> String {
    match kind {
        "drop" | "rise" => kind.to_owned(),
        _ => format!("{kind}_{}", side.as_str()),
    }
}

fn has_an_error(of: &Of<'_>, at: &str, name: &str, checker: &mut Checker<'_>) {
    let known = matches!(of.metric, Metric::Mean(_) | Metric::Share(_) | Metric::Balance(_) | Metric::Ratio { .. });
    if !known || of.compared {
        let message = format!("`{}` has no error by which a change could be told from chance", of.name);
        let hint = "tests are of `mean`, `share`, `balance`, and of a `ratio` that counts events; others have bounds";
        checker.problem(&format!("{at}/{name}"), message, hint);
    }
}

/// Tests pool the sums of windows, which say nothing of what a population or age makes of them.
fn tells_its_level(catalog: &Catalog, of: &Of<'_>, at: &str, name: &str, checker: &mut Checker<'_>) {
    if catalog.measures[of.metric.measure()].weighting.is_some() {
        let message = format!("tests compare plain means, and `{}` is weighted by a population or by age", of.name);
        let hint = "give it a bound, or test a metric of a measure without `population` and `half_life`";
        checker.problem(&format!("{at}/{name}"), message, hint);
    }
}

fn span_of(catalog: &Catalog, of: &Of<'_>, name: &str) -> WindowSpan {
    let windows = of.windows.iter().map(|index| &catalog.plan.windows[*index]);
    windows.into_iter().find(|window| *window.name == *name).map_or(WindowSpan::All, |window| window.span.clone())
}

/// Whether there are earlier windows, and not too many of them.
fn holds(at: &str, name: &str, rule: &Rule, checker: &mut Checker<'_>) {
    if matches!(rule.span, WindowSpan::All) {
        let message =
            format!("the window `{}` holds everything: there are none before it to compare with", rule.window);
        checker.problem(&format!("{at}/window"), message, "a rolling window or one of the calendar");
        return;
    }
    if matches!(rule.span, WindowSpan::Calendar { last: 2.., .. }) {
        let message = format!("windows of `{}` overlap: the one before an end is no other sample", rule.window);
        checker.problem(&format!("{at}/window"), message, "a calendar window without `last`, or a rolling one");
        return;
    }
    let rows = rule.rows_held();
    if rows > ROWS_MAX {
        let message = format!("{rows} rows of each group would be held in memory, at most {ROWS_MAX}");
        let hint = "fewer windows in `baseline` or `over`, or a window with a longer step";
        checker.problem(&format!("{at}/{name}"), message, hint);
    }
}

fn kind(at: &str, raw: &RawAlert, checker: &mut Checker<'_>) -> (Kind, Side) {
    let side = match raw.side {
        Some(RawSide::Above) => Side::Above,
        Some(RawSide::Below) | None => Side::Below,
    };
    if raw.side.is_some() && (raw.drop.is_some() || raw.rise.is_some()) {
        checker.problem(&format!("{at}/side"), "`drop` and `rise` say the side".to_owned(), "leave `side` out");
    }
    if let Some(drop) = &raw.drop {
        return (change(&format!("{at}/drop"), drop, checker), Side::Below);
    }
    if let Some(rise) = &raw.rise {
        return (change(&format!("{at}/rise"), rise, checker), Side::Above);
    }
    let of_windows = match raw {
        RawAlert { chart: Some(raw), .. } => chart(&format!("{at}/chart"), raw, checker),
        RawAlert { ewma: Some(raw), .. } => ewma(&format!("{at}/ewma"), raw, checker),
        RawAlert { cusum, .. } => {
            let empty = RawCusum { baseline: None, over: None, k: None, h: None };
            cusum_of(&format!("{at}/cusum"), cusum.as_ref().unwrap_or(&empty), checker)
        }
    };
    (of_windows, side)
}

fn change(at: &str, raw: &RawChange, checker: &mut Checker<'_>) -> Kind {
    let mut numbers = Numbers { at, checker };
    Kind::Drop {
        baseline: numbers.baseline(raw.baseline),
        p_max: numbers.share("p_max", raw.p_max.as_ref(), 0.001),
        by: numbers.number("by", raw.by.as_ref(), 0.0, |by| by >= 0.0, "at least 0"),
    }
}

fn chart(at: &str, raw: &RawChart, checker: &mut Checker<'_>) -> Kind {
    let mut numbers = Numbers { at, checker };
    Kind::Chart {
        baseline: numbers.baseline(raw.baseline),
        sigmas: numbers.positive("sigmas", raw.sigmas.as_ref(), 3.0),
        laney: raw.laney.unwrap_or(false),
    }
}

fn ewma(at: &str, raw: &RawEwma, checker: &mut Checker<'_>) -> Kind {
    let mut numbers = Numbers { at, checker };
    let is_weight = |lambda: f64| lambda > 0.0 && lambda <= 1.0;
    Kind::Ewma {
        baseline: numbers.baseline(raw.baseline),
        over: numbers.count("over", raw.over, OVER_DEFAULT, 1),
        lambda: numbers.number("lambda", raw.lambda.as_ref(), 0.3, is_weight, "above 0 and at most 1"),
        sigmas: numbers.positive("sigmas", raw.sigmas.as_ref(), 3.0),
    }
}

fn cusum_of(at: &str, raw: &RawCusum, checker: &mut Checker<'_>) -> Kind {
    let mut numbers = Numbers { at, checker };
    Kind::Cusum {
        baseline: numbers.baseline(raw.baseline),
        over: numbers.count("over", raw.over, OVER_DEFAULT, 1),
        k: numbers.positive("k", raw.k.as_ref(), 0.5),
        h: numbers.positive("h", raw.h.as_ref(), 5.0),
    }
}

/// A bound that a slower window has to pass, too; `None` when problems were added.
pub(super) fn burn(
    catalog: &Catalog,
    of: &Of<'_>,
    at: &str,
    raw: &RawBurn,
    rule: Rule,
    checker: &mut Checker<'_>,
) -> Option<Rule> {
    let Kind::Bound { bound, clear, .. } = rule.kind else { return None };
    let known: Vec<&str> = of.windows.iter().map(|index| &*catalog.plan.windows[*index].name).collect();
    if !known.contains(&raw.slow.as_str()) || *raw.slow == *rule.window {
        let message = format!("`{}` has no other window `{}`", of.name, raw.slow);
        let hint = format!("its windows are {}", known.join(", "));
        checker.problem(&format!("{at}/burn/slow"), message, &hint);
        return None;
    }
    let alert = satisflow_rules::alert_name(of.name, &format!("burn_{}", rule.side.as_str()));
    Some(Rule { alert, kind: Kind::Burn { slow: raw.slow.as_str().into(), bound, clear }, ..rule })
}

/// Reads numbers below a place.
struct Numbers<'a, 'b, 'c> {
    at: &'a str,
    checker: &'b mut Checker<'c>,
}

impl Numbers<'_, '_, '_> {
    fn baseline(&mut self, raw: Option<u32>) -> u32 {
        self.count("baseline", raw, BASELINE_DEFAULT, BASELINE_MIN)
    }

    fn count(&mut self, name: &str, raw: Option<u32>, default: u32, least: u32) -> u32 {
        let count = raw.unwrap_or(default);
        if count < least {
            let message = format!("`{name}` is {count}");
            self.checker.problem(&format!("{}/{name}", self.at), message, &format!("at least {least}"));
        }
        count.max(least)
    }

    fn share(&mut self, name: &str, raw: Option<&Decimal>, default: f64) -> f64 {
        self.number(name, raw, default, |share| share > 0.0 && share < 1.0, "above 0 and below 1")
    }

    fn positive(&mut self, name: &str, raw: Option<&Decimal>, default: f64) -> f64 {
        self.number(name, raw, default, |number| number > 0.0, "above 0")
    }

    fn number(&mut self, name: &str, raw: Option<&Decimal>, default: f64, is: fn(f64) -> bool, what: &str) -> f64 {
        let Some(raw) = raw else { return default };
        let number = raw.scaled(BOUND_DECIMALS).map(|scaled| scaled as f64 / MILLION);
        match number.filter(|number| is(*number)) {
            Some(number) => number,
            None => {
                let message = format!("`{name}` is {}", raw.written());
                let hint = format!("a number {what}, of at most 6 decimals");
                self.checker.problem(&format!("{}/{name}", self.at), message, &hint);
                default
            }
        }
    }
}
