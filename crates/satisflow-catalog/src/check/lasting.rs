//! What lasts: measures that say until when, and what is asked of them.

use satisflow_kpi::Metric;

use super::Checker;
use super::counted::millionths;
use super::weighting::steps_fault;
use crate::macros::Named;
use crate::raw::{RawMeasure, RawSurvival};
use crate::resolved::Catalog;

const MEDIAN: u32 = 500_000;

/// µs as 4 decimals, below 0 where it goes on, of a measure that says until when.
pub(super) fn lasted(pointer: &str, raw: &RawMeasure, named: Named<'_>, checker: &mut Checker<'_>) -> Option<String> {
    let pointer = format!("{pointer}/until");
    let until = checker.expanded(&pointer, raw.until.as_deref()?, named);
    let others = [raw.value.is_some(), raw.index.is_some(), raw.distinct.is_some(), raw.targets.is_some()];
    if others.contains(&true) || raw.per_answer || !raw.population.is_empty() || raw.half_life.is_some() {
        let message = "a measure with `until` has no value, no items, no population and no age".to_owned();
        checker.problem(&pointer, message, "make a measure of each");
    }
    Some(value(&until))
}

fn value(until: &str) -> String {
    let until = format!("arrow_cast(({until}), 'Timestamp(Microsecond, Some(\"UTC\"))')");
    let micros = format!("CAST({until} AS BIGINT) - CAST(event_time AS BIGINT)");
    format!(
        "CASE WHEN {until} IS NULL THEN CAST('-0.0001' AS DECIMAL(18,4)) \
         ELSE CAST(CAST(greatest({micros}, 0) AS DECIMAL(14,0)) * CAST('0.0001' AS DECIMAL(4,4)) AS DECIMAL(18,4)) END"
    )
}

/// The point of the survival curve that a metric asks for.
pub(super) fn survival(raw: &RawSurvival, measure: usize, pointer: &str, checker: &mut Checker<'_>) -> Option<Metric> {
    let Some(at) = &raw.at else { return Some(Metric::Survival { measure, millionths: MEDIAN }) };
    let share = millionths(at);
    if share.is_none() {
        let message = "the share that is over is above 0 and below 1, of at most 6 decimals".to_owned();
        checker.problem(&format!("{pointer}/survival/at"), message, "0.5 is the median");
    }
    Some(Metric::Survival { measure, millionths: share? })
}

/// Whether a metric goes with what its measures say of what lasts, over its windows.
pub(super) fn fit(catalog: &Catalog, pointer: &str, metric: Metric, windows: &[usize], checker: &mut Checker<'_>) {
    let mut used = std::iter::once(metric.measure()).chain(metric.base_measure()).map(|m| &catalog.measures[m]);
    if !metric.is_of_lasting() {
        let lasting = used.find(|measure| measure.lasts && !matches!(metric, Metric::Count(_)));
        if let Some(measure) = lasting {
            let message = format!("measure `{}` has `until`, and no value", measure.name);
            let hint = "one of `survival`, `open_count`, `open_age`, or `count` for its events";
            checker.problem(pointer, message, hint);
        }
        return;
    }
    if let Some(measure) = used.find(|measure| !measure.lasts) {
        let message = format!("measure `{}` does not say until when", measure.name);
        checker.problem(pointer, message, "give it `until`, the time of the end: NULL while it goes on");
    }
    for window in windows.iter().map(|index| &catalog.plan.windows[*index]) {
        let Some(fault) = steps_fault(&window.span, "what lasts is looked at") else { continue };
        let message = format!("{fault} window `{}`", window.name);
        checker.problem(pointer, message, "name the metric's `windows`: rolling ones, such as 28d by 1d");
    }
}
