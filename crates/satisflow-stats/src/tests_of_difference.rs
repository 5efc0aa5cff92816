//! Tests that tell a drop from noise; one-sided, for a fall from before to after.

use crate::distributions::{binomial_cdf, normal_cdf};

/// A statistic and its one-sided probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// The statistic, in standard errors; negative for a fall.
    pub z: f64,
    /// Probability of such a fall, or a larger one, without a difference.
    pub p: f64,
}

fn test(difference: f64, error: f64) -> Test {
    let z = difference / error;
    Test { z, p: normal_cdf(z) }
}

/// Fall of a share (F16) with pooled variance; each side is a share and its
/// (effective) size, above 0. `None` when all or none succeed.
pub fn two_proportions(before: (f64, f64), after: (f64, f64)) -> Option<Test> {
    let pooled = (before.0 * before.1 + after.0 * after.1) / (before.1 + after.1);
    let error = (pooled * (1.0 - pooled) * (1.0 / before.1 + 1.0 / after.1)).sqrt();
    (error > 0.0).then(|| test(after.0 - before.0, error))
}

/// Fall of a mean (F16); each side is a mean and its standard error. `None` without error.
pub fn two_means(before: (f64, f64), after: (f64, f64)) -> Option<Test> {
    let error = before.1.hypot(after.1);
    (error > 0.0).then(|| test(after.0 - before.0, error))
}

/// One-sided probability of so low a count after (F16), exact, given the sum of
/// both Poisson counts. `None` unless both exposures are above 0.
pub fn rate_fall_p(before: u64, exposure_before: f64, after: u64, exposure_after: f64) -> Option<f64> {
    let share = exposure_after / (exposure_before + exposure_after);
    (exposure_before > 0.0 && exposure_after > 0.0).then(|| binomial_cdf(after, before + after, share))
}

/// Which hypotheses Benjamini and Hochberg reject at `q` (F17), in the order given.
pub fn benjamini_hochberg(p: &[f64], q: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let passes = |rank: usize| p[order[rank]] <= q * (rank + 1) as f64 / p.len() as f64;
    let rejected = (0..p.len()).rev().find(|rank| passes(*rank)).map_or(0, |rank| rank + 1);
    let mut result = vec![false; p.len()];
    for index in &order[..rejected] {
        result[*index] = true;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close;

    #[test]
    fn f16_two_proportions() {
        let plain = two_proportions((0.86, 200.0), (0.78, 200.0)).unwrap();
        close(plain.z, -2.0823, 5e-5);
        close(plain.p, 0.01866, 5e-6);
        let effective = two_proportions((0.86, 150.0), (0.78, 120.0)).unwrap();
        close(effective.z, -1.7169, 5e-5);
        close(effective.p, 0.0430, 5e-5);
        assert_eq!(two_proportions((1.0, 5.0), (1.0, 5.0)), None);
    }

    #[test]
    fn f16_two_means() {
        let fall = two_means((80.1, 0.8), (77.2, 0.9)).unwrap();
        close(fall.z, -2.4083, 5e-5);
        close(fall.p, 0.0080, 5e-5);
    }

    #[test]
    fn f16_poisson_before_and_after() {
        close(rate_fall_p(40, 1.0, 22, 1.0).unwrap(), 0.01501, 5e-6);
        assert_eq!(rate_fall_p(40, 0.0, 22, 1.0), None);
    }

    #[test]
    fn f17_benjamini_hochberg() {
        assert_eq!(benjamini_hochberg(&[0.2, 0.001, 0.03, 0.012], 0.05), [false, true, true, true]);
        assert!(benjamini_hochberg(&[], 0.05).is_empty());
    }
}
