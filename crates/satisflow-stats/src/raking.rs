//! Raking: weights that bring a sample to several margins at once (F10).

/// Rounds after which raking gives up.
pub const ROUNDS_MAX: usize = 1_000;
/// Largest deviation of a margin's share at which raking is done.
pub const TOLERANCE: f64 = 1e-12;

/// One margin: the category of each cell, and the target share of each category.
#[derive(Debug, Clone)]
pub struct Margin {
    /// Index into `targets`, one a cell.
    pub category: Vec<usize>,
    /// Shares of the population, which sum to 1.
    pub targets: Vec<f64>,
}

/// Weight per answer of each cell (F10), their mean 1, in a fixed order of
/// steps. `None` if a target category is empty, a category is out of range or
/// the margins are not met within [`TOLERANCE`] after [`ROUNDS_MAX`] rounds.
pub fn rake(counts: &[f64], margins: &[Margin]) -> Option<Vec<f64>> {
    let n: f64 = counts.iter().sum();
    let mut weights = vec![1.0; counts.len()];
    for _ in 0..ROUNDS_MAX {
        let mut worst = 0.0_f64;
        for margin in margins {
            worst = worst.max(fit(counts, n, margin, &mut weights)?);
        }
        if worst <= TOLERANCE {
            return Some(weights);
        }
    }
    None
}

/// Scales the cells to one margin; the largest deviation found before.
fn fit(counts: &[f64], n: f64, margin: &Margin, weights: &mut [f64]) -> Option<f64> {
    let mut sums = vec![0.0; margin.targets.len()];
    for ((count, weight), category) in counts.iter().zip(&*weights).zip(&margin.category) {
        *sums.get_mut(*category)? += count * weight;
    }
    let mut worst = 0.0_f64;
    for (sum, target) in sums.iter().zip(&margin.targets) {
        if *sum <= 0.0 && *target > 0.0 {
            return None;
        }
        worst = worst.max((sum / n - target).abs());
    }
    for (weight, category) in weights.iter_mut().zip(&margin.category) {
        if sums[*category] > 0.0 {
            *weight *= margin.targets[*category] * n / sums[*category];
        }
    }
    Some(worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{close, weighted::kish_n_eff};

    fn margins() -> [Margin; 2] {
        [
            Margin { category: vec![0, 0, 1, 1], targets: vec![0.5, 0.5] },
            Margin { category: vec![0, 1, 0, 1], targets: vec![0.6, 0.4] },
        ]
    }

    #[test]
    fn f10_raking_over_two_margins() {
        let counts = [48.0, 12.0, 32.0, 8.0];
        let weights = rake(&counts, &margins()).unwrap();
        for (weight, expected) in weights.iter().zip([0.625, 1.6667, 0.9375, 2.5]) {
            close(*weight, expected, 5e-5);
        }
        let total = |power: i32| counts.iter().zip(&weights).map(|(n, w)| n * w.powi(power)).sum::<f64>();
        close(kish_n_eff(total(1).powi(2), total(2)).unwrap(), 76.8, 1e-9);
        let cells = counts.iter().zip(&weights).zip([80.0, 60.0, 70.0, 50.0]);
        let (raw, weighted) = cells.fold((0.0, 0.0), |(r, t), ((n, w), x)| (r + n * x, t + n * w * x));
        close(raw / 100.0, 72.0, 1e-9);
        close(weighted / 100.0, 67.0, 1e-9);
    }

    #[test]
    fn an_empty_target_category_is_refused() {
        assert_eq!(rake(&[10.0, 0.0, 10.0, 0.0], &margins()), None);
    }

    #[test]
    fn dependent_cells_meet_both_margins() {
        let counts = [50.0, 5.0, 10.0, 35.0];
        let weights = rake(&counts, &margins()).unwrap();
        let mass = |cells: [usize; 2]| cells.map(|i| counts[i] * weights[i]).iter().sum::<f64>();
        close(mass([0, 1]), 50.0, 1e-9);
        close(mass([0, 2]), 60.0, 1e-9);
    }
}
