//! What a wave of a survey has to hold.

use satisflow_document::{Decimal, escape};
use satisflow_kpi::{Metric, Rate, Validity, sample_size};

use super::Checker;
use super::named::measure_named;
use crate::raw::{RawRate, RawValidity};
use crate::resolved::Catalog;

const DECIMALS: usize = 6;
const UNIT: i64 = 1_000_000;
/// The share whose sample has to be largest.
const WORST_SHARE: f64 = 0.5;

/// The validity that a metric asks for.
pub(super) fn validity(
    catalog: &Catalog,
    metric: Metric,
    pointer: &str,
    raw: Option<&RawValidity>,
    checker: &mut Checker<'_>,
) -> Validity {
    let Some(raw) = raw else { return Validity::default() };
    let pointer = format!("{pointer}/validity");
    if !matches!(metric, Metric::Mean(_) | Metric::Share(_) | Metric::Balance(_)) {
        let message = "only a mean, a share or a balance of a survey is valid or not".to_owned();
        checker.problem(&pointer, message, "leave `validity` out");
    }
    let is_stratified = catalog.measures[metric.measure()].represented.is_some();
    if raw.stratum_n_min.is_some() && !is_stratified {
        let message = "the measure has no strata".to_owned();
        checker.problem(&format!("{pointer}/stratum_n_min"), message, "give the measure a `population`");
    }
    let of = |(name, rate): (&String, &RawRate)| {
        rate_of(catalog, &format!("{pointer}/rates/{}", escape(name)), rate, checker)
    };
    let rates = raw.rates.iter().filter_map(of).collect();
    let effect = raw.design_effect_max.as_ref();
    Validity {
        n_planned: n_planned(&pointer, raw, checker),
        stratum_n_min: raw.stratum_n_min.map_or(0, i64::from),
        design_effect_max: effect.map(|most| design_effect(&pointer, most, checker)),
        rates,
    }
}

fn n_planned(pointer: &str, raw: &RawValidity, checker: &mut Checker<'_>) -> i64 {
    if raw.n_planned.is_some() && raw.error_max.is_some() {
        let message = "a sample is planned by `n_planned` or by `error_max`, not both".to_owned();
        checker.problem(&format!("{pointer}/error_max"), message, "leave one of them out");
    }
    if raw.out_of.is_some() && raw.error_max.is_none() {
        let message = "`out_of` says nothing without `error_max`".to_owned();
        checker.problem(&format!("{pointer}/out_of"), message, "give `error_max`, or leave `out_of` out");
    }
    let Some(error) = &raw.error_max else { return raw.n_planned.map_or(0, i64::from) };
    match error.scaled(DECIMALS).filter(|error| (1..UNIT).contains(error)) {
        Some(error) => {
            let size = sample_size(WORST_SHARE, error as f64 / UNIT as f64, raw.out_of.map(f64::from));
            size as i64
        }
        None => {
            let message = format!("`{}` is no error of a share", error.written());
            checker.problem(&format!("{pointer}/error_max"), message, "above 0 and below 1, such as 0.05");
            0
        }
    }
}

fn design_effect(pointer: &str, most: &Decimal, checker: &mut Checker<'_>) -> i64 {
    most.scaled(DECIMALS).filter(|most| *most >= UNIT).unwrap_or_else(|| {
        let message = format!("a design effect is never below 1, and here at most `{}`", most.written());
        checker.problem(&format!("{pointer}/design_effect_max"), message, "such as 2, at most 6 decimals");
        UNIT
    })
}

fn rate_of(catalog: &Catalog, pointer: &str, raw: &RawRate, checker: &mut Checker<'_>) -> Option<Rate> {
    let numerator = measure_named(catalog, pointer, "numerator", &raw.numerator, checker);
    let denominator = measure_named(catalog, pointer, "denominator", &raw.denominator, checker);
    let min = raw.min.scaled(DECIMALS).filter(|min| *min > 0);
    if min.is_none() {
        let message = format!("`{}` is no rate to reach", raw.min.written());
        checker.problem(&format!("{pointer}/min"), message, "above 0, at most 6 decimals");
    }
    Some(Rate { numerator: numerator?, denominator: denominator?, min: min? })
}
