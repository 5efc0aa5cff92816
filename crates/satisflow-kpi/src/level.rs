//! The level of a KPI over some events, how much it varies by chance, and whether two differ.

use arrow::datatypes::i256;
use satisflow_stats::scoring;
use satisflow_stats::tests_of_difference::{rate_fall_p, two_means, two_proportions};

use crate::definition::{Metric, Side};
use crate::exact::to_f64;
use crate::row::VALUE_UNIT;
use crate::stats;
use crate::sums::Sums;

/// Decimals of `wx` beyond those of `w`.
const VALUE: f64 = 1e4;
/// Decimals of a denominator.
const ONE: f64 = 1e10;

/// How a level varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A weighted mean.
    Mean,
    /// A weighted share.
    Share,
    /// Events by exposure: Poisson's.
    Rate,
}

impl Family {
    /// That of a metric; `None` where its error is not known.
    pub fn of(metric: Metric) -> Option<Family> {
        match metric {
            Metric::Mean(_) | Metric::Balance(_) => Some(Family::Mean),
            Metric::Share(_) => Some(Family::Share),
            Metric::Ratio { .. } => Some(Family::Rate),
            Metric::Count(_) | Metric::Sum(_) | Metric::Distinct(_) => None,
            Metric::Quantile { .. } | Metric::Shortfall(_) => None,
            Metric::Survival { .. } | Metric::OpenCount(_) | Metric::OpenAge(_) => None,
        }
    }
}

/// A level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// In the KPI's unit.
    pub value: f64,
    /// Events.
    pub n: f64,
    /// Effective number of events; of a rate its exposure.
    pub size: f64,
    /// Standard deviation that a level of size 1 would have.
    pub deviation: f64,
    /// How much more than by chance the levels of windows vary (Laney's sigma z); 1 where it is not asked for.
    pub dispersion: f64,
}

impl Level {
    /// The level of some events; `None` where its error is not known.
    pub fn of(metric: Metric, sums: &Sums) -> Option<Level> {
        match Family::of(metric)? {
            Family::Rate => rate(metric, sums),
            family => mean(metric, family, sums),
        }
    }

    /// Standard error of the level of `size` under this one.
    pub fn error(&self, size: f64) -> f64 {
        self.deviation / size.sqrt()
    }

    /// How many of its standard errors `of` lies on the bad side of this level.
    pub fn distance(&self, of: &Level, side: Side) -> Option<f64> {
        let error = self.error(of.size) * self.dispersion;
        (error > 0.0).then(|| side.beyond(of.value, self.value) / error)
    }
}

fn mean(metric: Metric, family: Family, sums: &Sums) -> Option<Level> {
    let size = stats::effective_n(sums)?;
    let share = sums.wx as f64 / (sums.w as f64 * VALUE);
    let deviation = match family {
        Family::Share => (share * (1.0 - share)).max(0.0).sqrt(),
        _ => f64::from(metric.per()) * stats::standard_error(sums)? * size.sqrt(),
    };
    Some(Level { value: share * f64::from(metric.per()), n: sums.n as f64, size, deviation, dispersion: 1.0 })
}

/// Only where each event counts once: tests of counts (F16) are not of sums of amounts.
fn rate(metric: Metric, sums: &Sums) -> Option<Level> {
    let counts = sums.base > 0 && stats::is_plain_count(sums);
    let size = sums.base as f64 / ONE;
    let per = f64::from(metric.per());
    let value = per * sums.n as f64 / size;
    counts.then(|| Level { value, n: sums.n as f64, size, deviation: (per * value).sqrt(), dispersion: 1.0 })
}

/// Statistic and one-sided probability of a change for the worse (F16); `None` where there is no test.
pub fn change(metric: Metric, side: Side, before: &Level, after: &Level) -> Option<(f64, f64)> {
    let without_error = || {
        let worse = side.beyond(after.value, before.value) > 0.0;
        (if worse { f64::NEG_INFINITY } else { 0.0 }, if worse { 0.0 } else { 1.0 })
    };
    let turned = |value: f64, whole: f64| match side {
        Side::Below => value,
        Side::Above => whole - value,
    };
    let tested = match Family::of(metric)? {
        Family::Share => {
            two_proportions((turned(before.value, 1.0), before.size), (turned(after.value, 1.0), after.size))
        }
        Family::Mean => {
            let of = |level: &Level| (turned(level.value, 0.0), level.error(level.size));
            two_means(of(before), of(after))
        }
        Family::Rate => return rate_change(side, before, after),
    };
    Some(tested.map_or_else(without_error, |test| (test.z, test.p)))
}

fn rate_change(side: Side, before: &Level, after: &Level) -> Option<(f64, f64)> {
    let count = |level: &Level| level.n.round() as u64;
    let p = match side {
        Side::Below => rate_fall_p(count(before), before.size, count(after), after.size),
        Side::Above => rate_fall_p(count(after), after.size, count(before), before.size),
    }?;
    Some((after.value / before.value, p))
}

/// What is no rational is said at 6 decimals, where the same formula gives the same digits everywhere: of 12.
fn rounded(number: f64) -> i128 {
    const MILLION: i128 = 1_000_000;
    (number * MILLION as f64).round_ties_even() as i128 * MILLION
}

/// The level of sigma of so many defects per million opportunities, with the shift of 1.5 (F20). Both have 12
/// decimals, and the last 6 of the level are zeros; `None` where there are no defects, or nothing else.
pub fn sigma_level(dpmo: i128) -> Option<i128> {
    scoring::sigma_level(to_f64(i256::from_i128(dpmo)) / VALUE_UNIT as f64).map(rounded)
}

/// One-sided probability of so great a change to a side, from one metric to another of its kind, where nothing has
/// changed but by chance (F16): 12 decimals, the last 6 zeros; `None` where there is no test.
pub fn p_value(before: (Metric, &Sums), after: (Metric, &Sums), side: Side) -> Option<i128> {
    let (from, to) = (Level::of(before.0, before.1)?, Level::of(after.0, after.1)?);
    change(after.0, side, &from, &to).map(|(_, p)| rounded(p))
}
