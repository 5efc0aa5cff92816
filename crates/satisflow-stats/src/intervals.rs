//! Confidence intervals of 95 %, and the standard errors they rest on.

use crate::distributions::{Z_95, gamma_quantile};

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// Wilson's interval of a share (F11) with `n` (effective) events, `n` above 0.
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

/// Standard error of a rate whose events count differently much, as of a compound Poisson sum: the root of the
/// `squares` of what each counts over `exposure`.
pub fn compound_error(squares: f64, exposure: f64) -> f64 {
    squares.max(0.0).sqrt() / exposure
}

/// Fay and Feuer's interval (1997) of a rate whose events count differently much: `sum` of what each counts, above 0,
/// and the sum of its `squares`, at most the square of `sum`. What one more event would count is their mean by size
/// (in place of the largest, which sums do not tell). Where each counts 1 it is Garwood's.
pub fn fay_feuer(sum: f64, squares: f64, exposure: f64) -> Interval {
    let size = squares / sum;
    let scaled = |sum: f64, squares: f64, p: f64| squares / sum * gamma_quantile(sum * sum / squares, p);
    let high = scaled(sum + size, size.mul_add(size, squares), 0.975);
    Interval { low: scaled(sum, squares, 0.025) / exposure, high: high / exposure }
}

/// The interval of a mean from its standard error.
pub fn normal(mean: f64, standard_error: f64) -> Interval {
    Interval { low: mean - Z_95 * standard_error, high: mean + Z_95 * standard_error }
}

/// Standard error of NPS in points (F6) from the shares of promoters and
/// detractors and the (effective) sample size, above 0.
pub fn nps_error(promoters: f64, detractors: f64, n: f64) -> f64 {
    let balance = promoters - detractors;
    100.0 * ((promoters + detractors - balance * balance).max(0.0) / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close;

    #[test]
    fn f6_nps() {
        let se = nps_error(0.6, 0.15, 400.0);
        close(se, 3.700, 5e-4);
        let interval = normal(45.0, se);
        close(interval.low, 37.75, 5e-3);
        close(interval.high, 52.25, 5e-3);
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
    fn events_that_count_alike_have_garwoods_interval_whatever_they_count() {
        for each in [1.0, 3.0, 0.25] {
            let found = fay_feuer(7.0 * each, 7.0 * each * each, 1000.0);
            let expected = garwood(7.0, 1000.0);
            close(found.low, each * expected.low, 1e-12);
            close(found.high, each * expected.high, 1e-12);
        }
        close(compound_error(9.0 * 7.0, 1000.0), 3.0 * poisson_error(7.0, 1000.0), 1e-15);
    }

    #[test]
    fn a_few_events_that_count_much_widen_the_interval() {
        // Two of 10 and thirty of 1: computed apart, by the series of the incomplete gamma function.
        let found = fay_feuer(50.0, 230.0, 1.0);
        close(found.low, 24.838_1, 5e-5);
        close(found.high, 89.765_7, 5e-5);
        let alike = garwood(50.0, 1.0);
        assert!(found.low < alike.low && found.high > alike.high, "{found:?} {alike:?}");
    }
}
