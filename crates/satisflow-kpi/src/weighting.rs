//! Weights that depend on what else a window holds: strata brought to their shares
//! of a population or held against targets, events that fade with age.
//!
//! - A content keeps its sums by cell: by stratum and, where age counts, by pane.
//! - A value is one exact rational, rounded half to even once. Raking is exact too:
//!   integers, whole steps, a bounded number of them.
//! - n_eff and standard errors are floats, from exact moments in a fixed order.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use satisflow_stats::raking::{Margin, WHOLE, rake};
use satisflow_stats::weighted::{decay_e12, kish_n_eff};
use serde::{Deserialize, Serialize};

use crate::exact::rounded_half_even;
use crate::stats::squared_deviations_about;
use crate::sums::{Overflow, Sums};
use crate::validity::{Validity, is_stratum};
use crate::window::{Window, WindowSpan};

mod targets;

pub use targets::StratumTarget;

/// From the 4 decimals of a value to 12.
const VALUE_TO_RESULT: u32 = 100_000_000;

/// The population that a measure speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Population {
    /// How much of it is in each category, above 0, by margin; all margins have the same total.
    /// One margin is post-stratified, several are raked. The number of an event's cell counts
    /// the last margin's categories first.
    pub margins: Vec<Vec<i64>>,
}

/// What weighs an event of a measure beside its own weight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weighting {
    /// Its stratum has the weight of its share of this.
    pub population: Option<Population>,
    /// It weighs half after so much time, µs: a multiple of a rolling window's step.
    pub half_life: Option<i64>,
    /// What the mean of its stratum is held against, by the number of the stratum; none where there is a population.
    pub targets: Vec<StratumTarget>,
}

/// What a weighted mean, or a shortfall, tells of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighted {
    /// 12 decimals, half-even from the exact rational; `None` where a stratum is empty,
    /// the margins are out of reach, or nothing weighs anything.
    pub value: Option<i128>,
    /// Kish's effective sample size of the final weights.
    pub n_eff: Option<f64>,
    /// Standard error of the value.
    pub se: Option<f64>,
    /// Whether every stratum has its share, and the window is valid.
    pub is_representative: bool,
}

/// A weighting over one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Weights {
    population: Option<Population>,
    decay: Option<Decay>,
    targets: Vec<StratumTarget>,
    validity: Validity,
    /// The value is of so many.
    per: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Decay {
    /// µs.
    step: i64,
    /// Steps.
    half_life: u32,
}

/// Sums by the end of their pane (µs; 0 until it is known) and the number of their stratum's cell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cells(BTreeMap<(i64, u32), Sums>);

impl Cells {
    /// What one event adds to a stratum.
    pub(crate) fn of_event(sums: Sums, cell: u32) -> Cells {
        Cells(BTreeMap::from([((0, cell), sums)]))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn shift(&mut self, other: &Cells, is_added: bool) -> Result<(), Overflow> {
        for (cell, sums) in &other.0 {
            let held = self.0.entry(*cell).or_default();
            let shifted = if is_added { held.add(sums) } else { held.subtract(sums) };
            shifted?;
            if held.is_zero() {
                self.0.remove(cell);
            }
        }
        Ok(())
    }

    pub(crate) fn negated(self) -> Cells {
        Cells(self.0.into_iter().map(|(cell, sums)| (cell, sums.negated())).collect())
    }

    /// The same as of a pane.
    pub(crate) fn dated(&self, pane_end: i64) -> Cells {
        Cells(self.0.iter().map(|((_, cell), sums)| ((pane_end, *cell), *sums)).collect())
    }
}

/// What a window holds of one stratum, faded by age.
#[derive(Default)]
struct Stratum<'a> {
    /// Sums of weights, of weights times values, and of squared weights: 6, 10 and 12 decimals more than
    /// those of the fading.
    w: BigInt,
    wx: BigInt,
    ww: BigInt,
    /// What each part of it is multiplied with, and its sums.
    parts: Vec<(f64, &'a Sums)>,
}

/// A stratum with how much of the population it stands for.
type Share<'a> = (i128, &'a Stratum<'a>);

impl Decay {
    /// What an event of a pane that ended at a time weighs at a later one, in 10^-12.
    fn at(&self, pane_end: i64, end: i64) -> i64 {
        let age = end.saturating_sub(pane_end) / self.step;
        u32::try_from(age).ok().and_then(|age| decay_e12(age, self.half_life)).unwrap_or(0)
    }
}

impl Weights {
    /// Of a weighting over a window; age does not count where the window has no steps.
    pub(crate) fn of(weighting: Weighting, validity: Validity, window: &Window, per: u32) -> Weights {
        let decay = weighting.half_life.and_then(|half_life| match window.span {
            WindowSpan::Rolling { step, .. } => {
                Some(Decay { step, half_life: u32::try_from(half_life / step).ok().filter(|steps| *steps > 0)? })
            }
            WindowSpan::Calendar { .. } | WindowSpan::All => None,
        });
        let Weighting { population, targets, .. } = weighting;
        Weights { population, decay, targets, validity, per }
    }

    pub(crate) fn decays(&self) -> bool {
        self.decay.is_some()
    }

    /// What the cells of a window that ends at `end` tell.
    pub(crate) fn tell(&self, cells: Option<&Cells>, end: i64) -> Weighted {
        let strata = cells.map(|cells| self.strata(cells, end)).unwrap_or_default();
        let shares = self.shares(&strata);
        let told = self.weigh(shares.as_deref());
        let counts: Vec<i64> = strata.values().map(Stratum::n).collect();
        let held = cells.into_iter().flat_map(|cells| &cells.0).map(|((_, cell), sums)| (*cell, sums));
        let is_even = |most| shares.is_some_and(|shares| is_design_effect_within(&shares, most));
        let is_valid = self.validity.holds(&counts, held) && self.validity.design_effect_max.is_none_or(is_even);
        Weighted { is_representative: told.is_representative && is_valid, ..told }
    }

    fn weigh(&self, shares: Option<&[Share<'_>]>) -> Weighted {
        let Some(shares) = shares else {
            let is_representative = self.population.is_none() && self.targets.is_empty();
            return Weighted { value: None, n_eff: None, se: None, is_representative };
        };
        if !self.targets.is_empty() {
            return targets::shortfall(&self.targets, shares);
        }
        let is_stratified = self.population.as_ref().is_some_and(|population| population.margins.len() == 1);
        let se = if is_stratified { stratified_error(shares) } else { weighted_error(shares) };
        Weighted {
            value: self.mean(shares),
            n_eff: effective_n(shares),
            se: se.map(|se| se * f64::from(self.per)),
            is_representative: true,
        }
    }

    fn strata<'a>(&self, cells: &'a Cells, end: i64) -> BTreeMap<u32, Stratum<'a>> {
        let mut strata: BTreeMap<u32, Stratum<'a>> = BTreeMap::new();
        for ((pane_end, cell), sums) in cells.0.iter().filter(|((_, cell), _)| is_stratum(*cell)) {
            let fading = self.decay.as_ref().map(|decay| decay.at(*pane_end, end));
            let stratum = strata.entry(*cell).or_default();
            let exact = fading.unwrap_or(1);
            stratum.w += BigInt::from(sums.w) * exact;
            stratum.wx += BigInt::from(sums.wx) * exact;
            stratum.ww += BigInt::from(sums.ww) * exact * exact;
            stratum.parts.push((fading.map_or(1.0, |fading| fading as f64 / 1e12), sums));
        }
        strata.retain(|_, stratum| stratum.w > BigInt::ZERO);
        strata
    }

    /// `None` where not every stratum has its share.
    fn shares<'a>(&self, strata: &'a BTreeMap<u32, Stratum<'a>>) -> Option<Vec<Share<'a>>> {
        match self.population.as_ref().map(|population| &population.margins[..]) {
            None if !self.targets.is_empty() => {
                let share = |(cell, target): (u32, &StratumTarget)| Some((target.weight.into(), strata.get(&cell)?));
                (0..).zip(&self.targets).map(share).collect()
            }
            None => (!strata.is_empty()).then(|| strata.values().map(|stratum| (1, stratum)).collect()),
            Some([counts]) => {
                let share = |(cell, count): (u32, &i64)| Some((i128::from(*count), strata.get(&cell)?));
                (0..).zip(counts).map(share).collect()
            }
            Some(margins) => {
                let masses: Vec<(u32, &BigInt)> = strata.iter().map(|(cell, stratum)| (*cell, &stratum.w)).collect();
                Some(raked(margins, &masses)?.into_iter().zip(strata.values()).collect())
            }
        }
    }

    /// The sum of shares times means, by the sum of shares.
    fn mean(&self, shares: &[Share<'_>]) -> Option<i128> {
        let (mut numerator, mut denominator) = (BigInt::ZERO, BigInt::from(1));
        for (share, stratum) in shares {
            numerator = numerator * &stratum.w + &stratum.wx * *share * &denominator;
            denominator *= &stratum.w;
        }
        denominator *= shares.iter().map(|(share, _)| share).sum::<i128>();
        rounded_half_even(&(numerator * self.per * VALUE_TO_RESULT), &denominator)
    }
}

/// Shares of the cells that bring every margin to its own: see [`satisflow_stats::raking`].
fn raked(margins: &[Vec<i64>], masses: &[(u32, &BigInt)]) -> Option<Vec<i128>> {
    let total: BigInt = masses.iter().map(|(_, mass)| *mass).sum();
    if total == BigInt::ZERO {
        return None;
    }
    let share = |(_, mass): &(u32, &BigInt)| i128::try_from(*mass * WHOLE / &total).ok();
    let sample = masses.iter().map(share).collect::<Option<Vec<i128>>>()?;
    let margins: Vec<Margin> = (0..margins.len()).map(|number| margin(margins, number, masses)).collect();
    rake(&sample, &margins)
}

/// A margin with the category of each cell.
fn margin(margins: &[Vec<i64>], number: usize, masses: &[(u32, &BigInt)]) -> Margin {
    let after: usize = margins[number + 1..].iter().map(Vec::len).product();
    let counts = &margins[number];
    let total: i128 = counts.iter().map(|count| i128::from(*count)).sum();
    Margin {
        category: masses.iter().map(|(cell, _)| *cell as usize / after % counts.len()).collect(),
        targets: counts.iter().map(|count| i128::from(*count) * WHOLE / total).collect(),
    }
}

impl Stratum<'_> {
    fn n(&self) -> i64 {
        self.parts.iter().map(|(_, sums)| sums.n).sum()
    }

    fn weight(&self) -> f64 {
        self.parts.iter().map(|(fading, sums)| fading * (sums.w as f64 / 1e6)).sum()
    }

    fn total(&self) -> f64 {
        self.parts.iter().map(|(fading, sums)| fading * (sums.wx as f64 / 1e10)).sum()
    }

    fn squares(&self) -> f64 {
        self.parts.iter().map(|(fading, sums)| fading * fading * (sums.ww as f64 / 1e12)).sum()
    }

    /// Variance of the mean by Gatz and Smith (F9), times the square of a share; `None` for a single event.
    fn variance(&self, share: f64) -> Option<f64> {
        let (n, weight) = (self.n() as f64, self.weight());
        let squared = self.deviations(self.total() / weight);
        (n >= 2.0).then(|| (share / weight).powi(2) * (n / (n - 1.0) * squared))
    }

    /// `sum w^2 (x - mean)^2`.
    fn deviations(&self, mean: f64) -> f64 {
        self.parts.iter().map(|(fading, sums)| fading * fading * squared_deviations_about(sums, mean)).sum()
    }
}

fn total_share(shares: &[Share<'_>]) -> f64 {
    shares.iter().map(|(share, _)| *share as f64).sum()
}

/// What a stratum's weights are multiplied with.
fn factor((share, stratum): &Share<'_>) -> f64 {
    *share as f64 / stratum.weight()
}

/// Kish's, of the final weights (F8).
fn effective_n(shares: &[Share<'_>]) -> Option<f64> {
    let squares = shares.iter().map(|share| factor(share).powi(2) * share.1.squares()).sum();
    kish_n_eff(total_share(shares).powi(2), squares)
}

/// Whether n by Kish's n_eff (F8) is at most so many millionths: n sum w^2 by (sum w)^2, in integers.
fn is_design_effect_within(shares: &[Share<'_>], most: i64) -> bool {
    const MILLION: u32 = 1_000_000;
    let (mut numerator, mut denominator) = (BigInt::ZERO, BigInt::from(1));
    for (share, stratum) in shares {
        let square = &stratum.w * &stratum.w;
        numerator = numerator * &square + &stratum.ww * *share * *share * &denominator;
        denominator *= square;
    }
    let n: i64 = shares.iter().map(|(_, stratum)| stratum.n()).sum();
    let total = BigInt::from(shares.iter().map(|(share, _)| share).sum::<i128>());
    numerator * n * MILLION <= denominator * &total * &total * most
}

/// The root of the sum over strata of `(N_h / N)^2` times the variance of the stratum's mean (F9);
/// `None` where a stratum has but one event.
fn stratified_error(shares: &[Share<'_>]) -> Option<f64> {
    let total = total_share(shares);
    let variance = |(share, stratum): &Share<'_>| stratum.variance(*share as f64 / total);
    shares.iter().map(variance).sum::<Option<f64>>().map(|variance| variance.max(0.0).sqrt())
}

/// Gatz and Smith's of the final weights (F9); `None` for fewer than two events.
fn weighted_error(shares: &[Share<'_>]) -> Option<f64> {
    let (n, total) = (shares.iter().map(|(_, stratum)| stratum.n() as f64).sum::<f64>(), total_share(shares));
    let mean = shares.iter().map(|share| factor(share) * share.1.total()).sum::<f64>() / total;
    let squared: f64 = shares.iter().map(|share| factor(share).powi(2) * share.1.deviations(mean)).sum();
    (n >= 2.0).then(|| (n / (n - 1.0) * squared.max(0.0)).sqrt() / total)
}

#[cfg(test)]
mod tests;
