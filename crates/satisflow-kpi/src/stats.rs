//! Statistics from exact moments, at the edge: the only floats here. The formulas are satisflow-stats'.
//!
//! The formulas are numbered as in the KPI catalog (docs/kpi-catalog.md).

use arrow::datatypes::i256;
use satisflow_stats::weighted::{gatz_smith_error, kish_n_eff};

pub use satisflow_stats::distributions::Z_95;
pub use satisflow_stats::intervals::{Interval, compound_error, fay_feuer, garwood, normal, poisson_error, wilson};

use crate::exact::to_f64;
use crate::sums::Sums;

/// Kish's effective sample size `(sum w)^2 / sum w^2` (F8); `None` without weight.
pub fn effective_n(sums: &Sums) -> Option<f64> {
    let w = i256::from_i128(sums.w);
    kish_n_eff(to_f64(w.wrapping_mul(w)), sums.ww as f64)
}

/// Whether each event counts 1: only then are their sum, and the sum of their squares, their number.
pub fn is_plain_count(sums: &Sums) -> bool {
    const ONE: i128 = 10_000_000_000;
    let n = i128::from(sums.n) * ONE;
    sums.wx == n && sums.wwxx == i256::from_i128(n).wrapping_mul(i256::from_i128(ONE))
}

/// Standard error of a weighted mean by Gatz and Smith (F9), in units of the
/// value; `None` for fewer than two events.
pub fn standard_error(sums: &Sums) -> Option<f64> {
    if sums.n < 2 || sums.w == 0 {
        return None;
    }
    gatz_smith_error(sums.n as f64, sums.w as f64 / 1e6, squared_deviations(sums))
}

/// Standard error of a balance, in points: F6, and for weights that differ its
/// linearised form, the root of `sum w^2 (x - mean)^2` by `sum w`.
pub fn balance_error(sums: &Sums) -> Option<f64> {
    (sums.w > 0).then(|| 100.0 * squared_deviations(sums).max(0.0).sqrt() / (sums.w as f64 / 1e6))
}

/// `sum w^2 (x - mean)^2`, in exact integers as far as 256 bits reach.
fn squared_deviations(sums: &Sums) -> f64 {
    let exact = exact_squared_deviations(sums);
    let w = sums.w as f64 / 1e6;
    exact.map_or_else(|| float_squared_deviations(sums), |value| to_f64(value) / 1e32 / (w * w))
}

/// `sum w^2 (x - mean)^2 (sum w)^2`, 32 decimals.
fn exact_squared_deviations(sums: &Sums) -> Option<i256> {
    let w = i256::from_i128(sums.w);
    let wx = i256::from_i128(sums.wx);
    let first = sums.wwxx.checked_mul(w)?.checked_mul(w)?;
    let second = sums.wwx.checked_mul(wx)?.checked_mul(w)?.checked_mul(i256::from_i128(2))?;
    let third = i256::from_i128(sums.ww).checked_mul(wx)?.checked_mul(wx)?;
    first.checked_sub(second)?.checked_add(third)
}

/// `sum w^2 (x - about)^2` around any value. What is near it loses no digits: the integers
/// are taken around the value of 4 decimals that is next to it.
pub(crate) fn squared_deviations_about(sums: &Sums, about: f64) -> f64 {
    let near = (about * 1e4).round();
    let rest = near / 1e4 - about;
    let exact = deviations_at(sums, i256::from_i128(near as i128));
    let float = |sums: &Sums| {
        let (xx, x) = (to_f64(sums.wwxx) / 1e20, to_f64(sums.wwx) / 1e16);
        xx - 2.0 * about * x + about * about * (sums.ww as f64 / 1e12)
    };
    exact.map_or_else(
        || float(sums),
        |(squares, slope)| {
            let slope = to_f64(slope) / 1e16;
            to_f64(squares) / 1e20 + rest.mul_add(2.0 * slope, rest * rest * (sums.ww as f64 / 1e12))
        },
    )
}

/// `sum w^2 (x - at)^2` of 20 decimals, and `sum w^2 (x - at)` of 16.
fn deviations_at(sums: &Sums, at: i256) -> Option<(i256, i256)> {
    let weighted = i256::from_i128(sums.ww).checked_mul(at)?;
    let slope = sums.wwx.checked_sub(weighted)?;
    let twice = sums.wwx.checked_mul(at)?.checked_mul(i256::from_i128(2))?;
    let squares = sums.wwxx.checked_sub(twice)?.checked_add(weighted.checked_mul(at)?)?;
    Some((squares, slope))
}

fn float_squared_deviations(sums: &Sums) -> f64 {
    let mean = (sums.wx as f64 / 1e10) / (sums.w as f64 / 1e6);
    to_f64(sums.wwxx) / 1e20 - 2.0 * mean * (to_f64(sums.wwx) / 1e16) + mean * mean * (sums.ww as f64 / 1e12)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64, tolerance: f64) {
        assert!((actual - expected).abs() <= tolerance, "{actual} is not {expected} ± {tolerance}");
    }

    fn sums(events: &[(i64, i64)]) -> Sums {
        let mut sums = Sums::default();
        for (weight, value) in events {
            sums.add(&Sums::of_event(weight * 1_000_000, value * 10_000)).unwrap();
        }
        sums
    }

    #[test]
    fn f8_kish_effective_sample_size() {
        close(effective_n(&sums(&[(1, 5), (1, 4), (2, 3), (2, 2), (4, 1)])).unwrap(), 3.84615, 5e-6);
        assert_eq!(effective_n(&Sums::default()), None);
    }

    #[test]
    fn f9_standard_error_of_a_weighted_mean() {
        let sums = sums(&[(1, 5), (1, 4), (2, 3), (2, 2), (4, 1)]);
        close(sums.wx as f64 / 1e10 / (sums.w as f64 / 1e6), 2.3, 1e-12);
        close(standard_error(&sums).unwrap().powi(2), 0.49425, 5e-6);
        close(standard_error(&sums).unwrap(), 0.70303, 5e-6);
    }

    #[test]
    fn deviations_about_the_mean_are_those_of_the_error() {
        let sums = sums(&[(1, 5), (1, 4), (2, 3), (2, 2), (4, 1)]);
        close(squared_deviations_about(&sums, 2.3), squared_deviations(&sums), 1e-12);
        let third = 7.0 / 3.0;
        let each = [(1.0, 5.0), (1.0, 4.0), (2.0, 3.0), (2.0, 2.0), (4.0f64, 1.0)];
        let direct = each.iter().map(|(w, x)| (w * (x - third)).powi(2)).sum();
        close(squared_deviations_about(&sums, third), direct, 1e-10);
    }

    #[test]
    fn a_plain_count_is_of_events_that_count_1_each() {
        let is_plain = |events: &[(i64, i64)]| is_plain_count(&sums(events));
        assert!(is_plain(&[(1, 1), (1, 1)]) && is_plain(&[]));
        assert!(!is_plain(&[(1, 0), (1, 2)]), "their sum is their number");
        assert!(!is_plain(&[(1, 1), (1, 0)]));
    }

    #[test]
    fn equal_values_have_no_error_at_all() {
        let sums = sums(&[(3, 99), (1, 99), (7, 99)]);
        close(standard_error(&sums).unwrap(), 0.0, 0.0);
    }

    #[test]
    fn sums_beyond_256_bits_fall_back_to_floats() {
        let mut sums = Sums::default();
        for value in [1, 3] {
            sums.add(&Sums::of_event(999_999_999_999, value * 100_000_000_000_000_000)).unwrap();
        }
        assert_eq!(exact_squared_deviations(&sums), None);
        close(standard_error(&sums).unwrap() / 1e13, 1.0, 1e-9);
    }
}
