//! Weights: effective size, error of a weighted mean, post-stratification, time decay.

/// Kish's effective sample size `(sum w)^2 / sum w^2` (F8) from the square of
/// the sum and the sum of squares; `None` without weight.
pub fn kish_n_eff(sum_squared: f64, sum_of_squares: f64) -> Option<f64> {
    (sum_of_squares > 0.0).then(|| sum_squared / sum_of_squares)
}

/// Design effect `n / n_eff` (F8).
pub fn design_effect(n: f64, n_eff: f64) -> f64 {
    n / n_eff
}

/// Standard error of a weighted mean by Gatz and Smith (F9) from the number of
/// events, the sum of weights and `sum w^2 (x - mean)^2`, in units of the
/// value; `None` for fewer than two events or no weight.
pub fn gatz_smith_error(n: f64, weight: f64, squared_deviations: f64) -> Option<f64> {
    let defined = n >= 2.0 && weight > 0.0;
    defined.then(|| (n / (n - 1.0) * squared_deviations.max(0.0)).sqrt() / weight)
}

/// Post-stratification weight `(N_h / N) / (n_h / n)` (F10) from the stratum's
/// share of the population; `None` for a stratum without answers.
pub fn post_stratification(population_share: f64, stratum_n: f64, n: f64) -> Option<f64> {
    (stratum_n > 0.0).then(|| population_share * n / stratum_n)
}

/// Time decay `2^(-age / half-life)` (F21) in units of 10^-12, rounded, so that
/// sums of it are exact and the same on every platform; `None` without a half-life.
pub fn decay_e12(age: u32, half_life: u32) -> Option<i64> {
    let exponent = -f64::from(age) / f64::from(half_life);
    (half_life > 0).then(|| (libm::exp2(exponent) * 1e12).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close;

    const WEIGHTS: [f64; 5] = [1.0, 1.0, 2.0, 2.0, 4.0];

    #[test]
    fn f8_kish_effective_sample_size() {
        let n_eff = kish_n_eff(100.0, WEIGHTS.iter().map(|w| w * w).sum()).unwrap();
        close(n_eff, 3.84615, 5e-6);
        close(design_effect(5.0, n_eff), 1.3, 1e-12);
        assert_eq!(kish_n_eff(0.0, 0.0), None);
    }

    #[test]
    fn f9_standard_error_of_a_weighted_mean() {
        let values = [5.0, 4.0, 3.0, 2.0, 1.0];
        let squares = WEIGHTS.iter().zip(values).map(|(w, x)| (w * (x - 2.3)).powi(2)).sum();
        let se = gatz_smith_error(5.0, 10.0, squares).unwrap();
        close(se * se, 0.49425, 5e-6);
        close(se, 0.70303, 5e-6);
        assert_eq!(gatz_smith_error(1.0, 1.0, 0.0), None);
    }

    #[test]
    fn f10_post_stratification() {
        close(post_stratification(0.3, 48.0, 100.0).unwrap(), 0.625, 1e-12);
        close(post_stratification(0.2, 8.0, 100.0).unwrap(), 2.5, 1e-12);
        assert_eq!(post_stratification(0.2, 0.0, 100.0), None);
    }

    #[test]
    fn f21_time_decay() {
        let weights = [14, 7, 0].map(|age| i128::from(decay_e12(age, 7).unwrap()));
        assert_eq!(weights, [250_000_000_000, 500_000_000_000, 1_000_000_000_000]);
        let (sum, wx) = (weights.iter().sum::<i128>(), weights[0] * 100 + weights[1] * 50);
        close(wx as f64 / sum as f64, 28.5714, 5e-5);
        let squares = weights.iter().map(|w| w * w).sum::<i128>();
        close(kish_n_eff((sum * sum) as f64, squares as f64).unwrap(), 2.3333, 5e-5);
        assert_eq!(decay_e12(1, 0), None);
    }
}
