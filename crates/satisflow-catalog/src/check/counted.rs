//! Aggregates that count each value or key by itself: distinct counts and quantiles.

use satisflow_document::Decimal;
use satisflow_kpi::Metric;

use super::Checker;
use crate::raw::{RawMeasure, RawQuantile};
use crate::resolved::Measure;

/// Decimals of a quantile's share, as the engine takes it.
const SHARE_DECIMALS: usize = 6;
const WHOLE: i64 = 1_000_000;
const DIGITS_MAX: u32 = 9;

/// Refuses a measure of which some events of a key count while its keys are counted.
pub(super) fn keyed_and_distinct(pointer: &str, measure: &RawMeasure, checker: &mut Checker<'_>) {
    let keyed = measure.first_per.is_some() || measure.last_per.is_some();
    if measure.distinct.is_some() && keyed {
        let message = "a measure has `distinct`, or `first_per` or `last_per`, not both".to_owned();
        checker.problem(&format!("{pointer}/distinct"), message, "make two measures of it");
    }
}

/// The distinct count of a measure that says what is counted.
pub(super) fn distinct(measures: &[Measure], found: usize, pointer: &str, checker: &mut Checker<'_>) -> Metric {
    if measures[found].distinct.is_none() {
        let message = format!("measure `{}` does not say what is counted", measures[found].name);
        checker.problem(&format!("{pointer}/distinct"), message, "give the measure `distinct: customer`, for example");
    }
    Metric::Distinct(found)
}

/// A share above 0 and below 1 of at most 6 decimals.
pub(super) fn millionths(share: &Decimal) -> Option<u32> {
    share.scaled(SHARE_DECIMALS).filter(|share| (1..WHOLE).contains(share)).and_then(|share| u32::try_from(share).ok())
}

/// The quantile of a measure.
pub(super) fn quantile(raw: &RawQuantile, measure: usize, pointer: &str, checker: &mut Checker<'_>) -> Option<Metric> {
    let share = millionths(&raw.at);
    if share.is_none() {
        let message = "a quantile's share is above 0 and below 1, of at most 6 decimals".to_owned();
        checker.problem(&format!("{pointer}/quantile/at"), message, "0.5 is the median");
    }
    if let Some(digits) = raw.digits.filter(|digits| !(1..=DIGITS_MAX).contains(digits)) {
        let message = format!("`{digits}` significant digits; from 1 to {DIGITS_MAX} can be asked for");
        checker.problem(&format!("{pointer}/quantile/digits"), message, "leave it out to keep every value");
        return None;
    }
    Some(Metric::Quantile { measure, millionths: share?, digits: raw.digits })
}
