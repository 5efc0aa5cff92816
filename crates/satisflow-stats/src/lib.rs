//! The statistics of the domain, each formula in one place and cited by its number (F1 to F24).
//!
//! Pure: no IO, no clock, no randomness. What has to be exact (scores, counts,
//! decimals) is integer arithmetic; floats serve only roots and distributions.

pub mod control_charts;
pub mod distributions;
pub mod intervals;
pub mod raking;
pub mod scoring;
pub mod survival;
pub mod tests_of_difference;
pub mod weighted;

#[cfg(test)]
mod reference;

#[cfg(test)]
pub(crate) fn close(actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance, "{actual} is not {expected} ± {tolerance}");
}
