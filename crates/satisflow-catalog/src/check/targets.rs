//! What the means of a measure's strata have to reach.

use satisflow_document::{Decimal, escape};
use satisflow_kpi::{Metric, StratumTarget};

use super::Checker;
use super::weighting::{CELLS_MAX, cell};
use crate::macros::Named;
use crate::raw::{RawMeasure, RawTarget};
use crate::resolved::{Catalog, Margin, Represented};

const TARGET_DECIMALS: usize = 4;
const DECIMALS: usize = 6;
const UNIT: i64 = 1_000_000;
/// Largest weight of a stratum, 6 decimals: its product with a share has 12.
const WEIGHT_MAX: i64 = 1_000_000 * UNIT;

/// The strata of a measure with targets, and these.
pub(super) fn targets(
    measure: &str,
    raw: &RawMeasure,
    named: Named<'_>,
    checker: &mut Checker<'_>,
) -> Option<(Represented, Vec<StratumTarget>)> {
    let targets = raw.targets.as_ref()?;
    let pointer = format!("{measure}/targets");
    if !raw.population.is_empty() {
        let message = "a measure has a `population` or `targets`, not both".to_owned();
        checker.problem(&pointer, message, "make a measure of each");
    }
    if targets.of.is_empty() || targets.of.len() > CELLS_MAX {
        let message = format!("targets of {} strata", targets.of.len());
        checker.problem(
            &format!("{pointer}/of"),
            message,
            &format!("1 to {CELLS_MAX}, such as {{ delivery: {{ target: 90 }} }}"),
        );
    }
    let by = checker.expanded(&format!("{pointer}/by"), &targets.by, named);
    let each = targets.of.iter().map(|(name, raw)| target(&format!("{pointer}/of/{}", escape(name)), raw, checker));
    let each = each.collect();
    let (place, categories) = ("targets/by".to_owned(), targets.of.keys().cloned().collect());
    let margins = vec![Margin { name: "targets".into(), place, by, categories }];
    Some((Represented { cell: cell(&margins), margins }, each))
}

fn target(pointer: &str, raw: &RawTarget, checker: &mut Checker<'_>) -> StratumTarget {
    let target = raw.target.scaled(TARGET_DECIMALS).unwrap_or_else(|| {
        let message = format!("`{}` is no target", raw.target.written());
        checker.problem(&format!("{pointer}/target"), message, "a number of at most 4 decimals, such as 85");
        0
    });
    let weight = part(&format!("{pointer}/weight"), raw.weight.as_ref(), WEIGHT_MAX, checker);
    let share = part(&format!("{pointer}/share"), raw.share.as_ref(), UNIT, checker);
    StratumTarget { target, weight: weight * share }
}

/// A factor of at most 6 decimals, above 0; 1 where it is not there.
fn part(pointer: &str, raw: Option<&Decimal>, most: i64, checker: &mut Checker<'_>) -> i64 {
    let Some(raw) = raw else { return UNIT };
    raw.scaled(DECIMALS).filter(|part| (1..=most).contains(part)).unwrap_or_else(|| {
        let message = format!("`{}` is not above 0 and at most {}", raw.written(), most / UNIT);
        checker.problem(pointer, message, "a number of at most 6 decimals, such as 0.4");
        UNIT
    })
}

/// Whether a metric goes with what its measures say of targets.
pub(super) fn fit(catalog: &Catalog, pointer: &str, metric: Metric, checker: &mut Checker<'_>) {
    let measure = &catalog.measures[metric.measure()];
    let has_targets = measure.weighting.as_ref().is_some_and(|weighting| !weighting.targets.is_empty());
    match (metric, has_targets) {
        (Metric::Shortfall(_), false) => {
            let message = format!("measure `{}` has no `targets` to stay below", measure.name);
            let hint = "give it `targets: { by: ..., of: { delivery: { target: 90, weight: 0.3 } } }`";
            checker.problem(&format!("{pointer}/shortfall"), message, hint);
        }
        (Metric::Mean(_) | Metric::Share(_) | Metric::Balance(_), true) => {
            let message = format!("measure `{}` has `targets`, which only `shortfall` reads", measure.name);
            checker.problem(pointer, message, "`shortfall`, or `count` for its events; else a measure without them");
        }
        _ => {}
    }
}
