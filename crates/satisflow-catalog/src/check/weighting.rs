//! Populations that measures speak for, and half-lives.

use std::collections::BTreeMap;

use satisflow_document::{Decimal, escape};
use satisflow_kpi::{Metric, Population, Weighting, WindowSpan};

use super::{Checker, decimal, parse_duration};
use crate::macros::Named;
use crate::raw::{RawMargin, RawMeasure};
use crate::resolved::{Catalog, Margin, Measure, Represented};

/// Decimals of a count of the population.
const DECIMALS: usize = 6;
const UNIT: i64 = 1_000_000;
/// What shares sum to.
const SHARES: [i64; 2] = [UNIT, 100 * UNIT];
/// Most cells of a population: the product of its margins' categories.
pub(super) const CELLS_MAX: usize = 1_000;
/// Most steps of a window in which age counts: each of its rows weighs as many.
const STEPS_MAX: i64 = 1_000;

/// The margins of a measure's population, and how much of it is in each category.
pub(super) fn population(
    measure: &str,
    raw: &RawMeasure,
    named: Named<'_>,
    checker: &mut Checker<'_>,
) -> Option<(Represented, Population)> {
    let pointer = format!("{measure}/population");
    let (mut margins, mut counted) = (Vec::new(), Vec::new());
    for (name, raw) in &raw.population {
        let at = format!("{pointer}/{}", escape(name));
        let by = checker.expanded(&format!("{at}/by"), &raw.by, named);
        counted.push(counts(&at, raw, checker));
        let (place, categories) = (format!("population/{}/by", escape(name)), raw.counts.keys().cloned().collect());
        margins.push(Margin { name: name.as_str().into(), place, by, categories });
    }
    of_one_total(&pointer, &margins, &counted, checker);
    let cells: usize = counted.iter().map(Vec::len).product();
    if cells > CELLS_MAX {
        let message = format!("a population of {cells} cells");
        checker.problem(&pointer, message, &format!("at most {CELLS_MAX}: merge categories, or leave a margin out"));
    }
    let divided = !margins.is_empty();
    divided.then(|| (Represented { cell: cell(&margins), margins }, Population { margins: counted }))
}

/// The counts of a margin, 6 decimals.
fn counts(pointer: &str, raw: &RawMargin, checker: &mut Checker<'_>) -> Vec<i64> {
    let mut all = Vec::new();
    for (category, count) in &raw.counts {
        match count.scaled(DECIMALS).filter(|count| *count > 0) {
            Some(count) => all.push(count),
            None => {
                let message = format!("`{}` of a population are in `{category}`", count.written());
                let hint = "a number above 0 of at most 6 decimals; who is in no category is not counted";
                checker.problem(&format!("{pointer}/counts/{}", escape(category)), message, hint);
            }
        }
    }
    if raw.counts.is_empty() {
        checker.problem(
            &format!("{pointer}/counts"),
            "a margin without a category".to_owned(),
            "such as { north: 40, south: 60 }",
        );
    }
    let total: i64 = all.iter().fold(0, |total, count| total.saturating_add(*count));
    if raw.counts.values().any(is_fraction) && all.len() == raw.counts.len() && !SHARES.contains(&total) {
        let message = format!("the shares sum to {}", decimal(total));
        checker.problem(&format!("{pointer}/counts"), message, "shares sum to 1 or 100; counts are whole numbers");
    }
    all
}

fn is_fraction(count: &Decimal) -> bool {
    count.scaled(DECIMALS).is_some_and(|count| count % UNIT != 0)
}

/// Margins divide one population.
fn of_one_total(pointer: &str, margins: &[Margin], counted: &[Vec<i64>], checker: &mut Checker<'_>) {
    let total = |counts: &Vec<i64>| counts.iter().fold(0i64, |total, count| total.saturating_add(*count));
    let totals: Vec<i64> = counted.iter().map(total).collect();
    if totals.windows(2).any(|pair| pair[0] != pair[1]) {
        let said: Vec<String> = margins
            .iter()
            .zip(&totals)
            .map(|(margin, total)| format!("`{}` to {}", margin.name, decimal(*total)))
            .collect();
        let message = format!("the margins sum to different totals: {}", said.join(", "));
        checker.problem(pointer, message, "they divide one population: give all of them as counts of it, or as shares");
    }
}

/// The number of an event's cell as SQL, the last margin's categories first; NULL outside of the population.
pub(super) fn cell(margins: &[Margin]) -> String {
    let mut cell = String::new();
    for margin in margins {
        let when =
            |(number, category): (usize, &String)| format!(" WHEN '{}' THEN {number}", category.replace('\'', "''"));
        let cases: String = margin.categories.iter().enumerate().map(when).collect();
        let own = format!("CASE CAST(({}) AS VARCHAR){cases} END", margin.by);
        cell = if cell.is_empty() { own } else { format!("({cell}) * {} + {own}", margin.categories.len()) };
    }
    cell
}

/// The half-life of a measure, µs.
pub(super) fn half_life(measure: &str, raw: &RawMeasure, checker: &mut Checker<'_>) -> Option<i64> {
    let text = raw.half_life.as_deref()?;
    let half_life = parse_duration(text).filter(|micros| *micros >= 1_000_000);
    if half_life.is_none() {
        let message = format!("`{text}` is not a duration of a second or more");
        checker.problem(&format!("{measure}/half_life"), message, "such as 12h, 7d");
    }
    half_life
}

/// By measure, what the engine takes.
pub(super) fn weightings(measures: &[Measure]) -> BTreeMap<usize, Weighting> {
    let weighted = measures.iter().enumerate().filter_map(|(index, m)| Some((index, m.weighting.clone()?)));
    weighted.collect()
}

/// Whether a metric goes with what its measures say of a population and of age, over its windows.
pub(super) fn fits(catalog: &Catalog, pointer: &str, metric: Metric, windows: &[usize], checker: &mut Checker<'_>) {
    let used = std::iter::once(metric.measure()).chain(metric.base_measure());
    let Some(measure) = used.map(|m| &catalog.measures[m]).find(|m| m.weighting.is_some()) else { return };
    let is_mean = metric.is_of_means();
    if !is_mean && !matches!(metric, Metric::Count(_)) {
        let message = format!(
            "measure `{}` has a `population`, a `half_life` or `targets`, which only weigh means",
            measure.name
        );
        let hint =
            "one of `mean`, `share`, `balance`, `shortfall`, or `count` for its events; else a measure without them";
        checker.problem(pointer, message, hint);
    }
    let Some(half_life) = measure.weighting.as_ref().and_then(|w| w.half_life).filter(|_| is_mean) else { return };
    for window in windows.iter().map(|index| &catalog.plan.windows[*index]) {
        let fault = match window.span {
            WindowSpan::Rolling { step, .. } if half_life % step != 0 => {
                Some("the half-life is not a multiple of the step of".to_owned())
            }
            _ => steps_fault(&window.span, "age counts"),
        };
        let Some(fault) = fault else { continue };
        let message = format!("{fault} window `{}`", window.name);
        let hint = "name the metric's `windows`: rolling ones whose step divides the half-life";
        checker.problem(pointer, message, hint);
    }
}

/// What is wrong with the steps of a window each of which has a row.
pub(super) fn steps_fault(span: &WindowSpan, what: &str) -> Option<String> {
    match span {
        WindowSpan::Rolling { length, step } if length / step > STEPS_MAX => {
            Some(format!("{what} in at most {STEPS_MAX} steps, and more are in"))
        }
        WindowSpan::Rolling { .. } => None,
        WindowSpan::Calendar { .. } | WindowSpan::All => {
            Some(format!("{what} in the steps of rolling windows, not in"))
        }
    }
}
