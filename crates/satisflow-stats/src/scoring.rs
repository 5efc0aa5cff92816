//! Scores, indices, Pareto and quality levels. What is exact is a [`Fraction`] of integers.

use crate::distributions::{Z_95, probit};

/// An exact quotient, its denominator above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    /// Above the line.
    pub numerator: i128,
    /// Below the line.
    pub denominator: i128,
}

impl Fraction {
    /// The quotient; `None` for a denominator that is not above 0.
    pub fn new(numerator: i128, denominator: i128) -> Option<Self> {
        (denominator > 0).then_some(Self { numerator, denominator })
    }

    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }

    /// Whether it is exactly `numerator / denominator`.
    pub fn equals(self, numerator: i128, denominator: i128) -> bool {
        self.numerator * denominator == numerator * self.denominator
    }
}

/// Four-level score (F1): `sum points * coefficient`, coefficients in tenths (10, 8, 4, 0).
pub fn four_level(items: &[(i128, i128)]) -> Fraction {
    Fraction { numerator: items.iter().map(|(points, tenths)| points * tenths).sum(), denominator: 10 }
}

/// Mean of a ladder of levels (F2, F6's CES) from the counts of levels 1, 2, ...; `None` without answers.
pub fn level_mean(counts: &[i128]) -> Option<Fraction> {
    let sum = (1..).zip(counts).map(|(level, count): (i128, _)| level * count).sum();
    Fraction::new(sum, counts.iter().sum())
}

/// `(mean - min) / (max - min) * 100` (F2); `None` for an empty range.
pub fn to_100(mean: Fraction, min: i128, max: i128) -> Option<Fraction> {
    Fraction::new(100 * (mean.numerator - min * mean.denominator), mean.denominator * (max - min))
}

/// Latent index (F4, F3 on the range 1 to 10) of (weight, mean) items; `None` without weight or range.
pub fn latent_index(items: &[(f64, f64)], min: f64, max: f64) -> Option<f64> {
    let weight: f64 = items.iter().map(|(w, _)| w).sum();
    let sum: f64 = items.iter().map(|(w, x)| w * (x - min) / (max - min)).sum();
    (weight > 0.0 && max > min).then(|| 100.0 * sum / weight)
}

/// Points of weighted failures (F5): `sum weight * count`.
pub fn failure_points(failures: &[(i128, i128)]) -> i128 {
    failures.iter().map(|(weight, count)| weight * count).sum()
}

/// The vital few (F5): indices of the smallest prefix, largest first and ties
/// in the order given, with at least `percent` of the sum.
pub fn vital_few(amounts: &[i128], percent: i128) -> Vec<usize> {
    let total: i128 = amounts.iter().sum();
    let mut order: Vec<usize> = (0..amounts.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(amounts[*index]));
    let mut sum = 0;
    order.retain(|index| {
        let needed = 100 * sum < percent * total;
        sum += amounts[*index];
        needed
    });
    order
}

/// Net promoters in points (F6); `None` without answers.
pub fn nps(promoters: i128, detractors: i128, n: i128) -> Option<Fraction> {
    Fraction::new(100 * (promoters - detractors), n)
}

/// Best ratings (of 5) still needed for a mean of `target` tenths, below 50
/// (F7), from the sum and number of ratings; `None` for a target out of reach.
pub fn five_stars_needed(sum: i128, n: i128, target_tenths: i128) -> Option<i128> {
    let (missing, gain) = (target_tenths * n - 10 * sum, 50 - target_tenths);
    (gain > 0).then(|| if missing <= 0 { 0 } else { (missing + gain - 1) / gain })
}

/// Mean rating (F7) of (buyer, rating) of one month in order, where a buyer's first `cap` count.
pub fn capped_mean(ratings: &[(u64, i128)], cap: usize) -> Option<Fraction> {
    let mut seen = std::collections::BTreeMap::<u64, usize>::new();
    let (mut sum, mut n) = (0, 0);
    for (buyer, rating) in ratings {
        let count = seen.entry(*buyer).or_default();
        *count += 1;
        if *count <= cap {
            sum += rating;
            n += 1;
        }
    }
    Fraction::new(sum, n)
}

/// Where an item stands by importance and performance (F18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quadrant {
    /// Important, performs badly.
    Concentrate,
    /// Important, performs well.
    Keep,
    /// Unimportant, performs badly.
    LowPriority,
    /// Unimportant, performs well.
    Overkill,
}

/// Quadrants (F18) of (importance, performance) at the grand means; at a mean counts as above it.
pub fn quadrants(items: &[(f64, f64)]) -> Vec<Quadrant> {
    let n = items.len() as f64;
    let importance = items.iter().map(|item| item.0).sum::<f64>() / n;
    let performance = items.iter().map(|item| item.1).sum::<f64>() / n;
    let place = |item: &(f64, f64)| match (item.0 >= importance, item.1 >= performance) {
        (true, false) => Quadrant::Concentrate,
        (true, true) => Quadrant::Keep,
        (false, false) => Quadrant::LowPriority,
        (false, true) => Quadrant::Overkill,
    };
    items.iter().map(place).collect()
}

/// Share of lots without defects (F19); `None` without lots.
pub fn zero_defect_attainment(defects: &[i128]) -> Option<Fraction> {
    Fraction::new(defects.iter().filter(|count| **count == 0).count() as i128, defects.len() as i128)
}

/// Defects per unit (F19); `None` without units.
pub fn defects_per_unit(defects: i128, units: i128) -> Option<Fraction> {
    Fraction::new(defects, units)
}

/// Defects per million opportunities (F20); `None` without opportunities.
pub fn dpmo(defects: i128, units: i128, opportunities: i128) -> Option<Fraction> {
    Fraction::new(1_000_000 * defects, units * opportunities)
}

/// Sigma level (F20) with the shift of 1.5; `None` unless DPMO is strictly between 0 and a million.
pub fn sigma_level(dpmo: f64) -> Option<f64> {
    (dpmo > 0.0 && dpmo < 1e6).then(|| 1.5 - probit(dpmo / 1e6))
}

/// Sample size (F22) for a share within `error` at 95 %, rounded up, for a finite population if given.
pub fn sample_size(share: f64, error: f64, population: Option<f64>) -> f64 {
    let n = Z_95 * Z_95 * share * (1.0 - share) / (error * error);
    population.map_or(n, |size| n / (1.0 + (n - 1.0) / size)).ceil()
}

/// Shrunk mean (F24) `(C mu + n x) / (C + n)`; `None` unless `C + n` is above 0.
pub fn shrink(prior_n: f64, prior_mean: f64, n: f64, mean: f64) -> Option<f64> {
    (prior_n + n > 0.0).then(|| (prior_n * prior_mean + n * mean) / (prior_n + n))
}

#[cfg(test)]
mod tests;
