//! What a pane or a window holds: sums, and for the KPIs that need it how often
//! each value, or each key, occurs.
//!
//! Adding and removing are inverse here too, so that distinct counts and
//! quantiles follow retractions and late events as sums do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::definition::Metric;
use crate::stats::{Z_95, effective_n};
use crate::sums::{Overflow, Sums};

/// 6 decimals, of a quantile's level.
const MILLION: i128 = 1_000_000;
/// From 4 decimals, those of a value, to 10.
const VALUE_TO_NUMERATOR: i128 = 1_000_000;
const ONE: i128 = 10_000_000_000;

/// What a KPI reads of a content beside its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reading {
    Sums,
    Distinct,
    /// Level in millionths.
    Quantile(u32),
}

/// What the counts of a window tell, 10 decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The number of keys, or the quantile.
    pub value: i128,
    /// 95 % interval of a quantile: Woodruff's (1952), Wald's bounds of the level read as quantiles.
    pub bounds: Option<(i128, i128)>,
}

/// Weight of each value (4 decimals), or number of events of each key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts(BTreeMap<i128, i128>);

/// Sums, and counts where a KPI reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) sums: Sums,
    counts: Option<Box<Counts>>,
}

impl Reading {
    pub(crate) fn of(metric: Metric) -> Reading {
        match metric {
            Metric::Distinct(_) => Reading::Distinct,
            Metric::Quantile { millionths, .. } => Reading::Quantile(millionths),
            _ => Reading::Sums,
        }
    }

    /// What one event adds: `key` is what is counted distinct, by its hash.
    pub(crate) fn content(self, sums: Sums, weight: i64, value: i64, key: u128) -> Content {
        if self == Reading::Sums || weight <= 0 {
            return sums.into();
        }
        let entry = match self {
            Reading::Distinct => (i128::from_be_bytes(key.to_be_bytes()), 1),
            _ => (i128::from(value), i128::from(weight)),
        };
        Content { sums, counts: Some(Box::new(Counts(BTreeMap::from([entry])))) }
    }
}

impl Counts {
    fn shift(&mut self, other: &Counts, sign: i128) -> Result<(), Overflow> {
        for (key, count) in &other.0 {
            let held = self.0.entry(*key).or_default();
            *held = count.checked_mul(sign).and_then(|count| held.checked_add(count)).ok_or(Overflow)?;
            if *held == 0 {
                self.0.remove(key);
            }
        }
        Ok(())
    }

    /// The least value up to which at least a share of all weight lies.
    fn quantile(&self, reached: impl Fn(i128) -> bool) -> Option<i128> {
        let mut below = 0;
        let first = self.0.iter().find(|(_, weight)| {
            below += **weight;
            reached(below)
        });
        first.or(self.0.last_key_value()).map(|(value, _)| value * VALUE_TO_NUMERATOR)
    }
}

impl From<Sums> for Content {
    fn from(sums: Sums) -> Content {
        Content { sums, counts: None }
    }
}

impl Content {
    /// Adds `other`.
    ///
    /// # Errors
    /// [`Overflow`]; `self` is then unusable.
    pub(crate) fn add(&mut self, other: &Content) -> Result<(), Overflow> {
        self.sums.add(&other.sums)?;
        self.shift(other, 1)
    }

    /// Takes `other` away.
    ///
    /// # Errors
    /// [`Overflow`] as for [`Content::add`].
    pub(crate) fn subtract(&mut self, other: &Content) -> Result<(), Overflow> {
        self.sums.subtract(&other.sums)?;
        self.shift(other, -1)
    }

    fn shift(&mut self, other: &Content, sign: i128) -> Result<(), Overflow> {
        let Some(more) = &other.counts else { return Ok(()) };
        let held = self.counts.get_or_insert_default();
        held.shift(more, sign)?;
        if held.0.is_empty() {
            self.counts = None;
        }
        Ok(())
    }

    /// The inverse.
    pub(crate) fn negated(mut self) -> Content {
        self.sums = self.sums.negated();
        self.counts.iter_mut().flat_map(|counts| counts.0.values_mut()).for_each(|count| *count = -*count);
        self
    }

    /// Whether nothing is counted.
    pub(crate) fn is_zero(&self) -> bool {
        self.sums.is_zero() && self.counts.is_none()
    }

    /// What a KPI reads beside the sums; `None` where there is nothing to read.
    pub(crate) fn told(&self, reading: Reading) -> Option<Told> {
        match reading {
            Reading::Sums => None,
            Reading::Distinct => {
                let keys = self.counts.as_ref().map_or(0, |counts| counts.0.len());
                Some(Told { value: i128::try_from(keys).unwrap_or(i128::MAX) * ONE, bounds: None })
            }
            Reading::Quantile(millionths) => self.quantile(i128::from(millionths)),
        }
    }

    fn quantile(&self, millionths: i128) -> Option<Told> {
        let counts = self.counts.as_ref()?;
        let value = counts.quantile(|below| below * MILLION >= millionths * self.sums.w)?;
        let level = millionths as f64 / MILLION as f64;
        let bounds = effective_n(&self.sums).filter(|n_eff| *n_eff >= 2.0).and_then(|n_eff| {
            let half = Z_95 * (level * (1.0 - level) / n_eff).sqrt();
            let at = |level: f64| counts.quantile(|below| below as f64 >= level * self.sums.w as f64);
            at(level - half).zip(at(level + half))
        });
        Some(Told { value, bounds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reading: Reading, events: &[(i64, i64, u128)]) -> Content {
        let mut all = Content::default();
        for (weight, value, key) in events {
            let one = reading.content(Sums::of_event(*weight, *value), *weight, *value, *key);
            all.add(&one).unwrap();
        }
        all
    }

    const MEDIAN: Reading = Reading::Quantile(500_000);
    const W: i64 = 1_000_000;

    fn value(reading: Reading, events: &[(i64, i64, u128)]) -> Option<i128> {
        all(reading, events).told(reading).map(|told| told.value)
    }

    #[test]
    fn a_quantile_is_the_least_value_that_reaches_its_share_of_the_weight() {
        let scores = |weights: [i64; 3]| [(weights[0], 10_000, 0), (weights[1], 30_000, 0), (weights[2], 70_000, 0)];
        assert_eq!(value(MEDIAN, &scores([W, W, W])), Some(3 * ONE));
        assert_eq!(value(MEDIAN, &scores([W, W, 2 * W])), Some(3 * ONE));
        assert_eq!(value(MEDIAN, &scores([W, W, 2 * W + 1])), Some(7 * ONE));
        assert_eq!(value(Reading::Quantile(900_000), &scores([8 * W, W, W])), Some(3 * ONE));
        assert_eq!(value(Reading::Quantile(900_001), &scores([8 * W, W, W])), Some(7 * ONE));
        assert_eq!(value(MEDIAN, &scores([0, 0, 0])), None);
    }

    #[test]
    fn woodruffs_interval_holds_the_ranks_around_a_median() {
        // 100 ranks, level 0.5 -+ 1.96 * 0.05 = 0.402 and 0.598: the 41st and the 60th value.
        let events: Vec<(i64, i64, u128)> = (1..=100).map(|rank| (W, rank * 10_000, 0)).collect();
        let told = all(MEDIAN, &events).told(MEDIAN).unwrap();
        assert_eq!(told, Told { value: 50 * ONE, bounds: Some((41 * ONE, 60 * ONE)) });
    }

    #[test]
    fn a_key_counts_once_until_its_last_event_is_taken_back() {
        let mut content = all(Reading::Distinct, &[(W, 1, 7), (W, 1, 7), (W, 1, u128::MAX), (0, 1, 9)]);
        let told = |content: &Content| content.told(Reading::Distinct).unwrap().value / ONE;
        assert_eq!(told(&content), 2);
        let one = Reading::Distinct.content(Sums::of_event(W, 1), W, 1, 7);
        content.subtract(&one).unwrap();
        assert_eq!(told(&content), 2);
        content.add(&one.clone().negated()).unwrap();
        assert_eq!(told(&content), 1);
    }

    #[test]
    fn one_key_for_another_is_a_change_although_the_sums_are_equal() {
        let mut content = all(Reading::Distinct, &[(W, 1, 7)]);
        content.subtract(&all(Reading::Distinct, &[(W, 1, 8)])).unwrap();
        assert!(content.sums.is_zero() && !content.is_zero());
    }
}
