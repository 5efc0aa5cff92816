//! Raking: shares of cells that bring a sample to several margins at once (F10).
//!
//! Integers in a fixed order of steps: the same sample gives the same shares, to
//! the last digit and on every platform.

/// Rounds after which the margins are held to be out of reach.
pub const ROUNDS_MAX: usize = 1_000;
/// All of a population: shares have 18 decimals.
pub const WHOLE: i128 = 1_000_000_000_000_000_000;
/// Raking is done when no category's share is further from its target than this: 10^-12.
pub const TOLERANCE: i128 = 1_000_000;

/// One margin: the category of each cell, and the target share of each category.
#[derive(Debug, Clone)]
pub struct Margin {
    /// Index into `targets`, one a cell.
    pub category: Vec<usize>,
    /// Shares of the population, of [`WHOLE`].
    pub targets: Vec<i128>,
}

/// Shares of the cells after iterative proportional fitting (F10) from those of the sample, all of
/// [`WHOLE`]: one margin after the other, each cell rounded down. `None` if a category is empty or out of
/// range, or the margins are not met within [`TOLERANCE`] after [`ROUNDS_MAX`] rounds.
pub fn rake(sample: &[i128], margins: &[Margin]) -> Option<Vec<i128>> {
    let mut shares = sample.to_vec();
    for _ in 0..ROUNDS_MAX {
        let mut worst = 0;
        for margin in margins {
            worst = worst.max(fit(margin, &mut shares)?);
        }
        if worst <= TOLERANCE {
            return Some(shares);
        }
    }
    None
}

/// Scales the cells to one margin; the largest deviation found before.
fn fit(margin: &Margin, shares: &mut [i128]) -> Option<i128> {
    let mut sums = vec![0; margin.targets.len()];
    for (share, category) in shares.iter().zip(&margin.category) {
        *sums.get_mut(*category)? += share;
    }
    if sums.contains(&0) {
        return None;
    }
    for (share, category) in shares.iter_mut().zip(&margin.category) {
        *share = *share * margin.targets[*category] / sums[*category];
    }
    sums.iter().zip(&margin.targets).map(|(sum, target)| (sum - target).abs()).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{close, weighted::kish_n_eff};

    /// Of hundred.
    fn of(percent: i128) -> i128 {
        percent * WHOLE / 100
    }

    fn margins() -> [Margin; 2] {
        [
            Margin { category: vec![0, 0, 1, 1], targets: vec![of(50), of(50)] },
            Margin { category: vec![0, 1, 0, 1], targets: vec![of(60), of(40)] },
        ]
    }

    #[test]
    fn f10_raking_over_two_margins() {
        let counts = [48, 12, 32, 8];
        let shares = rake(&counts.map(of), &margins()).unwrap();
        assert_eq!(shares, [30, 20, 30, 20].map(of));
        let weights: Vec<f64> = shares.iter().zip(counts).map(|(share, n)| *share as f64 / of(n) as f64).collect();
        for (weight, expected) in weights.iter().zip([0.625, 1.6667, 0.9375, 2.5]) {
            close(*weight, expected, 5e-5);
        }
        let total = |power: i32| counts.iter().zip(&weights).map(|(n, w)| *n as f64 * w.powi(power)).sum::<f64>();
        close(kish_n_eff(total(1).powi(2), total(2)).unwrap(), 76.8, 1e-9);
        let cells = counts.iter().zip(&weights).zip([80.0, 60.0, 70.0, 50.0]);
        let (raw, weighted) = cells.fold((0.0, 0.0), |(r, t), ((n, w), x)| (r + *n as f64 * x, t + *n as f64 * w * x));
        close(raw / 100.0, 72.0, 1e-9);
        close(weighted / 100.0, 67.0, 1e-9);
    }

    #[test]
    fn an_empty_category_is_refused() {
        assert_eq!(rake(&[of(50), 0, of(50), 0], &margins()), None);
    }

    #[test]
    fn dependent_cells_meet_both_margins() {
        let shares = rake(&[50, 5, 10, 35].map(of), &margins()).unwrap();
        for (cells, target) in [([0, 1], of(50)), ([0, 2], of(60))] {
            assert!((shares[cells[0]] + shares[cells[1]] - target).abs() <= TOLERANCE, "{shares:?}");
        }
    }

    #[test]
    fn margins_out_of_reach_are_given_up() {
        assert_eq!(rake(&[of(50), 0, 0, of(50)], &margins()), None);
    }
}
