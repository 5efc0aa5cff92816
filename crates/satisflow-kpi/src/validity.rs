//! When a survey's wave is valid (S32): what its windows have to hold, or their rows are not representative.

use num_bigint::BigInt;
use serde::{Deserialize, Serialize};

use crate::sums::Sums;

/// Cells with this number and later ones hold the sums of rates; strata have lower ones.
const RATES: u32 = 1 << 31;
const MILLION: i128 = 1_000_000;

/// What a window has to hold; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// Fewest events, as planned (F22).
    pub n_planned: i64,
    /// Fewest events of each stratum that has any.
    pub stratum_n_min: i64,
    /// Largest design effect, n by n_eff, in millionths.
    pub design_effect_max: Option<i64>,
    /// Rates that have to be reached.
    pub rates: Vec<Rate>,
}

/// The sum of one measure by that of another, each its weights times values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Measure above the line.
    pub numerator: usize,
    /// Measure below the line; without any of it the rate is not reached.
    pub denominator: usize,
    /// The least rate, in millionths.
    pub min: i64,
}

/// Number of the cell that holds a side of a rate.
fn cell(rate: usize, side: u32) -> u32 {
    RATES + 2 * u32::try_from(rate).unwrap_or(u32::MAX >> 2) + side
}

/// Whether a cell is a stratum's.
pub(crate) fn is_stratum(cell: u32) -> bool {
    cell < RATES
}

impl Validity {
    pub(crate) fn is_asked(&self) -> bool {
        let Validity { n_planned, stratum_n_min, design_effect_max, rates } = self;
        *n_planned > 0 || *stratum_n_min > 0 || design_effect_max.is_some() || !rates.is_empty()
    }

    /// Measures that rates read, and the cells of their sums.
    pub(crate) fn measures(&self) -> impl Iterator<Item = (usize, u32)> {
        let sides =
            |(number, rate): (usize, &Rate)| [(rate.numerator, cell(number, 0)), (rate.denominator, cell(number, 1))];
        self.rates.iter().enumerate().flat_map(sides)
    }

    /// Whether a window holds the events and reaches the rates, its strata with so many events each.
    /// The design effect is looked at where weights are.
    pub(crate) fn holds<'a>(&self, strata: &[i64], cells: impl Iterator<Item = (u32, &'a Sums)> + Clone) -> bool {
        let n: i64 = strata.iter().sum();
        let sum = |cell: u32| -> BigInt {
            cells.clone().filter(|(number, _)| *number == cell).map(|(_, sums)| BigInt::from(sums.wx)).sum()
        };
        let reached = |(number, rate): (usize, &Rate)| {
            let (above, below) = (sum(cell(number, 0)), sum(cell(number, 1)));
            below > BigInt::ZERO && above * MILLION >= below * rate.min
        };
        n >= self.n_planned
            && strata.iter().all(|n| *n >= self.stratum_n_min)
            && self.rates.iter().enumerate().all(reached)
    }
}
