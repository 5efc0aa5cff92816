//! Distribution functions and quantiles that the formulas need.

use statrs::function::beta::beta_reg;
use statrs::function::erf::{erfc, erfc_inv};
use statrs::function::gamma::{gamma_lr, ln_gamma};

/// Two-sided 95 % quantile of the normal distribution.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// Distribution function of the standard normal.
pub fn normal_cdf(z: f64) -> f64 {
    erfc(-z / std::f64::consts::SQRT_2) / 2.0
}

/// Quantile of the standard normal for a probability strictly between 0 and 1.
pub fn probit(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * p)
}

/// Probability of at most `k` successes in `n` trials of probability `p` (strictly between 0 and 1).
pub fn binomial_cdf(k: u64, n: u64, p: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta_reg((n - k) as f64, k as f64 + 1.0, 1.0 - p)
}

/// The quantile of a gamma distribution of scale 1: Newton's steps on the
/// distribution function from Wilson and Hilferty's start, kept between bounds
/// that close in. (statrs's own search stops early for some shapes.)
pub fn gamma_quantile(shape: f64, p: f64) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close;

    #[test]
    fn gamma_quantiles_give_their_probability_back() {
        for count in (1..2_000).chain([10_000, 1_000_000]) {
            for p in [0.025, 0.975] {
                let shape = f64::from(count);
                close(gamma_lr(shape, gamma_quantile(shape, p)), p, 1e-10);
            }
        }
    }

    #[test]
    fn probits_give_their_probability_back() {
        for p in [1e-9, 0.001, 0.025, 0.3, 0.5, 0.8, 0.975, 0.999_999] {
            close(normal_cdf(probit(p)) / p, 1.0, 1e-9);
        }
    }

    #[test]
    fn a_binomial_is_the_sum_of_its_terms() {
        close(binomial_cdf(1, 4, 0.5), 5.0 / 16.0, 1e-12);
        close(binomial_cdf(4, 4, 0.5), 1.0, 0.0);
    }
}
