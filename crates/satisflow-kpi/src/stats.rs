//! Statistics derived from exact moments, at the edge: the only floats here.
//!
//! The formulas are numbered as in the KPI catalog (docs/kpi-catalog.md).

use arrow::datatypes::i256;
use statrs::function::gamma::{gamma_lr, ln_gamma};

use crate::exact::to_f64;
use crate::sums::Sums;

/// Two-sided 95 % quantile of the normal distribution.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// Kish's effective sample size `(sum w)^2 / sum w^2` (F8); `None` without weight.
pub fn effective_n(sums: &Sums) -> Option<f64> {
    let w = i256::from_i128(sums.w);
    (sums.ww > 0).then(|| to_f64(w.wrapping_mul(w)) / sums.ww as f64)
}

/// Standard error of a weighted mean by Gatz and Smith (F9), in units of the
/// value; `None` for fewer than two events.
pub fn standard_error(sums: &Sums) -> Option<f64> {
    if sums.n < 2 || sums.w == 0 {
        return None;
    }
    let n = sums.n as f64;
    let w = sums.w as f64 / 1e6;
    Some((n / (n - 1.0) * squared_deviations(sums).max(0.0)).sqrt() / w)
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

fn float_squared_deviations(sums: &Sums) -> f64 {
    let mean = (sums.wx as f64 / 1e10) / (sums.w as f64 / 1e6);
    to_f64(sums.wwxx) / 1e20 - 2.0 * mean * (to_f64(sums.wwx) / 1e16) + mean * mean * (sums.ww as f64 / 1e12)
}

/// Wilson's interval of a share (F11) with `n` (effective) events.
pub fn wilson(share: f64, n: f64) -> Interval {
    let z2 = Z_95 * Z_95;
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_95 / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).max(0.0).sqrt();
    Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

/// Standard error of a Poisson rate: the root of `count` over `exposure`.
pub fn poisson_error(count: f64, exposure: f64) -> f64 {
    count.sqrt() / exposure
}

/// Garwood's exact interval of a Poisson rate (F12): `count` events in `exposure`.
pub fn garwood(count: f64, exposure: f64) -> Interval {
    let low = if count > 0.0 { gamma_quantile(count, 0.025) } else { 0.0 };
    Interval { low: low / exposure, high: gamma_quantile(count + 1.0, 0.975) / exposure }
}

/// The quantile of a gamma distribution of scale 1: Newton's steps on the
/// distribution function from Wilson and Hilferty's start, kept between bounds
/// that close in. (statrs's own search stops early for some shapes.)
fn gamma_quantile(shape: f64, p: f64) -> f64 {
    const STEPS_MAX: usize = 100;
    let z = if p < 0.5 { -Z_95 } else { Z_95 };
    let spread = 1.0 / (9.0 * shape);
    let start = shape * (1.0 - spread + z * spread.sqrt()).max(0.01).powi(3);
    let (mut low, mut high, mut x) = (0.0, 10.0 * shape + 40.0, start);
    for _ in 0..STEPS_MAX {
        let error = gamma_lr(shape, x) - p;
        if error < 0.0 {
            low = x
        } else {
            high = x
        }
        let density = ((shape - 1.0) * x.ln() - x - ln_gamma(shape)).exp();
        let newton = x - error / density;
        let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        if (next - x).abs() <= f64::EPSILON * x {
            return next;
        }
        x = next;
    }
    x
}

/// The interval of a mean from its standard error.
pub fn normal(mean: f64, standard_error: f64) -> Interval {
    Interval { low: mean - Z_95 * standard_error, high: mean + Z_95 * standard_error }
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

    #[test]
    fn f11_wilson() {
        for (share, n, low, high) in
            [(0.8, 10.0, 0.490162, 0.943318), (5.0 / 400.0, 400.0, 0.005351, 0.028924), (0.0, 50.0, 0.0, 0.071348)]
        {
            let interval = wilson(share, n);
            close(interval.low, low, 5e-7);
            close(interval.high, high, 5e-7);
        }
    }

    #[test]
    fn f12_garwood() {
        let seven = garwood(7.0, 1.0);
        close(seven.low, 2.814, 5e-4);
        close(seven.high, 14.423, 5e-4);
        let none = garwood(0.0, 1.0);
        close(none.low, 0.0, 0.0);
        close(none.high, 3.689, 5e-4);
        // Where statrs's own quantile is off by 0.3 %.
        close(garwood(141.0, 1.0).high, 166.287_9, 5e-5);
    }

    #[test]
    fn gamma_quantiles_give_their_probability_back() {
        for count in (1..2_000).chain([10_000, 1_000_000]) {
            for p in [0.025, 0.975] {
                let shape = f64::from(count);
                close(gamma_lr(shape, gamma_quantile(shape, p)), p, 1e-10);
            }
        }
    }
}
