//! What a pane or a window holds: sums, and for the KPIs that need it how often
//! each value, or each key, occurs.
//!
//! Adding and removing are inverse here too, so that distinct counts and
//! quantiles follow retractions and late events as sums do.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::definition::Metric;
use crate::lasting::{self, Lasting};
use crate::stats::{Z_95, effective_n};
use crate::sums::{Overflow, Sums};
use crate::told::{ONE, Told};
use crate::validity::Validity;
use crate::weighting::{Cells, Weighted, Weighting, Weights};
use crate::window::Window;

/// 6 decimals, of a quantile's level.
const MILLION: i128 = 1_000_000;
/// From 4 decimals, those of a value, to 10.
const VALUE_TO_NUMERATOR: i128 = 1_000_000;

/// What a KPI reads of a content beside its sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reading {
    Sums,
    Distinct,
    /// Level in millionths.
    Quantile(u32),
    Weighted(Box<Weights>),
    Lasting(Lasting),
}

/// Weight of each value (4 decimals), or number of events of each key, or of each life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts(BTreeMap<i128, i128>);

/// Sums, and counts or cells where a KPI reads them; then those of the next metric that it reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) sums: Sums,
    counts: Option<Box<Counts>>,
    cells: Option<Box<Cells>>,
    next: Option<Box<Content>>,
}

impl Reading {
    /// Of a metric that is not weighted.
    pub(crate) fn plain(metric: Metric) -> Reading {
        match metric {
            Metric::Distinct(_) => Reading::Distinct,
            Metric::Quantile { millionths, .. } => Reading::Quantile(millionths),
            Metric::Survival { millionths, .. } => Reading::Lasting(Lasting::Survival(millionths)),
            Metric::OpenCount(_) => Reading::Lasting(Lasting::OpenCount),
            Metric::OpenAge(_) => Reading::Lasting(Lasting::OpenAge),
            _ => Reading::Sums,
        }
    }

    /// Of a metric over a window; by cell where it is weighted, or has to be valid.
    pub(crate) fn of(metric: Metric, weighting: Option<(Weighting, &Validity)>, window: &Window) -> Reading {
        match (Reading::plain(metric), weighting) {
            (Reading::Sums, Some((weighting, validity))) => {
                Reading::Weighted(Box::new(Weights::of(weighting, validity.clone(), window, metric.per())))
            }
            (plain, _) => plain,
        }
    }

    /// Whether a row stands at each step while anything is held.
    pub(crate) fn decays(&self) -> bool {
        match self {
            Reading::Weighted(weights) => weights.decays(),
            Reading::Lasting(_) => true,
            Reading::Sums | Reading::Distinct | Reading::Quantile(_) => false,
        }
    }

    /// Whether a row that holds other lives than before may still say the same: what ends after a row's end is not
    /// seen there.
    pub(crate) fn sees_its_past_alone(&self) -> bool {
        matches!(self, Reading::Lasting(_))
    }

    /// What an event does in the pane that ends at a time.
    pub(crate) fn dated<'a>(&self, delta: &'a Content, pane_end: i64) -> Cow<'a, Content> {
        match &delta.cells {
            Some(cells) if self.decays() => {
                Cow::Owned(Content { cells: Some(Box::new(cells.dated(pane_end))), ..delta.clone() })
            }
            _ => Cow::Borrowed(delta),
        }
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

/// A value to so many significant digits, half away from zero: the bucket that it is counted in.
fn to_digits(value: i64, digits: Option<u32>) -> i128 {
    let value = i128::from(value);
    let Some(digits) = digits else { return value };
    let has = value.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
    let unit = 10i128.pow(has.saturating_sub(digits));
    (value.abs() + unit / 2) / unit * unit * value.signum()
}

impl From<Sums> for Content {
    fn from(sums: Sums) -> Content {
        Content { sums, counts: None, cells: None, next: None }
    }
}

impl Content {
    /// What one event adds to a metric: `key` is what is counted distinct, by its hash.
    pub(crate) fn of_event(metric: Metric, weight: i64, value: i64, key: u128) -> Content {
        let sums = Sums::of_event(weight, value);
        let entry = match metric {
            Metric::Distinct(_) => (i128::from_be_bytes(key.to_be_bytes()), 1),
            Metric::Quantile { digits, .. } => (to_digits(value, digits), i128::from(weight)),
            _ => return sums.into(),
        };
        let counts = (weight > 0).then(|| Box::new(Counts(BTreeMap::from([entry]))));
        Content { sums, counts, cells: None, next: None }
    }

    /// What one event adds to a metric that is weighted, in its cell.
    pub(crate) fn of_cell(weight: i64, value: i64, cell: u32) -> Content {
        let sums = Sums::of_event(weight, value);
        let cells = (weight > 0).then(|| Box::new(Cells::of_event(sums, cell)));
        Content { sums, counts: None, cells, next: None }
    }

    /// What something adds that began at a time and lasted so long, µs; below 0 it goes on. How long it lasted is no
    /// part of its sums, which are known when it begins.
    pub(crate) fn of_life(weight: i64, began: i64, lasted: i64) -> Content {
        let entry = (lasting::key(began, lasted), 1);
        let counts = (weight > 0).then(|| Box::new(Counts(BTreeMap::from([entry]))));
        Content { sums: Sums::of_event(weight, 0), counts, cells: None, next: None }
    }

    /// What one event adds to a side of a rate: none of it counts in the KPI's own sums.
    pub(crate) fn of_rate(weight: i64, value: i64, cell: u32) -> Content {
        Content { sums: Sums::default(), ..Content::of_cell(weight, value, cell) }
    }

    /// Adds `other`.
    ///
    /// # Errors
    /// [`Overflow`]; `self` is then unusable.
    pub(crate) fn add(&mut self, other: &Content) -> Result<(), Overflow> {
        self.sums.add(&other.sums)?;
        self.shift_cells(other, true)?;
        self.shift(other, 1)?;
        other.next.as_ref().map_or(Ok(()), |next| self.next.get_or_insert_default().add(next))
    }

    /// Takes `other` away.
    ///
    /// # Errors
    /// [`Overflow`] as for [`Content::add`].
    pub(crate) fn subtract(&mut self, other: &Content) -> Result<(), Overflow> {
        self.sums.subtract(&other.sums)?;
        self.shift_cells(other, false)?;
        self.shift(other, -1)?;
        other.next.as_ref().map_or(Ok(()), |next| self.next.get_or_insert_default().subtract(next))
    }

    fn shift_cells(&mut self, other: &Content, is_added: bool) -> Result<(), Overflow> {
        let Some(more) = &other.cells else { return Ok(()) };
        let held = self.cells.get_or_insert_default();
        held.shift(more, is_added)?;
        if held.is_empty() {
            self.cells = None;
        }
        Ok(())
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
        self.cells = self.cells.map(|cells| Box::new(cells.negated()));
        self.counts.iter_mut().flat_map(|counts| counts.0.values_mut()).for_each(|count| *count = -*count);
        self.next = self.next.map(|next| Box::new(next.negated()));
        self
    }

    /// Whether nothing is counted.
    pub(crate) fn is_zero(&self) -> bool {
        self.is_zero_itself() && self.next.as_ref().is_none_or(|next| next.is_zero())
    }

    /// Whether nothing is counted of this metric, whatever is of the next ones.
    pub(crate) fn is_zero_itself(&self) -> bool {
        self.sums.is_zero() && self.counts.is_none() && self.cells.is_none()
    }

    /// Takes in what an event adds to the measure or the base of a metric, by the number of the metric.
    /// Each fills other sums.
    pub(crate) fn join(&mut self, metric: usize, one: &Content) {
        let mut place = self;
        for _ in 0..metric {
            place = place.next.get_or_insert_default();
        }
        place.add(one).expect("the sums of one event are far within their types");
    }

    /// What is held of a metric, by its number; `None` is nothing.
    pub(crate) fn of_metric(&self, number: usize) -> Option<&Content> {
        std::iter::successors(Some(self), |content| content.next.as_deref()).nth(number)
    }

    /// What a KPI reads beside the sums of a window that ends at `end`; `None` where there is nothing to read.
    pub(crate) fn told(&self, reading: &Reading, end: i64) -> Option<Told> {
        match reading {
            Reading::Sums | Reading::Weighted(_) => None,
            Reading::Distinct => {
                let keys = self.counts.as_ref().map_or(0, |counts| counts.0.len());
                Some(Told::of(i128::try_from(keys).unwrap_or(i128::MAX) * ONE))
            }
            Reading::Quantile(millionths) => self.quantile(i128::from(*millionths)),
            Reading::Lasting(lasting) => {
                let lives = self.counts.iter().flat_map(|counts| &counts.0);
                lasting.told(lives.map(|(key, number)| (*key, *number)), end)
            }
        }
    }

    /// What a weighted KPI reads of a window that ends at `end`.
    pub(crate) fn weighted(&self, reading: &Reading, end: i64) -> Option<Weighted> {
        match reading {
            Reading::Weighted(weights) => Some(weights.tell(self.cells.as_deref(), end)),
            Reading::Sums | Reading::Distinct | Reading::Quantile(_) | Reading::Lasting(_) => None,
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
        Some(Told { bounds, ..Told::of(value) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(metric: Metric, events: &[(i64, i64, u128)]) -> Content {
        let mut all = Content::default();
        for (weight, value, key) in events {
            all.add(&Content::of_event(metric, *weight, *value, *key)).unwrap();
        }
        all
    }

    const DISTINCT: Metric = Metric::Distinct(0);
    const MEDIAN: Metric = quantile(500_000);
    const W: i64 = 1_000_000;

    const fn quantile(millionths: u32) -> Metric {
        Metric::Quantile { measure: 0, millionths, digits: None }
    }

    fn reading(metric: Metric) -> Reading {
        Reading::of(metric, None, &Window { name: "all".into(), span: crate::WindowSpan::All })
    }

    fn value(metric: Metric, events: &[(i64, i64, u128)]) -> Option<i128> {
        all(metric, events).told(&reading(metric), 0).map(|told| told.value)
    }

    #[test]
    fn a_quantile_is_the_least_value_that_reaches_its_share_of_the_weight() {
        let scores = |weights: [i64; 3]| [(weights[0], 10_000, 0), (weights[1], 30_000, 0), (weights[2], 70_000, 0)];
        assert_eq!(value(MEDIAN, &scores([W, W, W])), Some(3 * ONE));
        assert_eq!(value(MEDIAN, &scores([W, W, 2 * W])), Some(3 * ONE));
        assert_eq!(value(MEDIAN, &scores([W, W, 2 * W + 1])), Some(7 * ONE));
        assert_eq!(value(quantile(900_000), &scores([8 * W, W, W])), Some(3 * ONE));
        assert_eq!(value(quantile(900_001), &scores([8 * W, W, W])), Some(7 * ONE));
        assert_eq!(value(MEDIAN, &scores([0, 0, 0])), None);
    }

    #[test]
    fn values_of_more_digits_are_counted_in_buckets_that_grow_with_them() {
        let check = |value, expected| assert_eq!(to_digits(value, Some(3)), expected, "{value}");
        for (value, expected) in
            [(0, 0), (7, 7), (999, 999), (1000, 1000), (1234, 1230), (1235, 1240), (99_950, 100_000)]
        {
            check(value, expected);
            check(-value, -expected);
        }
        check(i64::MAX, 9_220_000_000_000_000_000);
        check(i64::MIN, -9_220_000_000_000_000_000);
        assert_eq!(to_digits(i64::MIN, None), i128::from(i64::MIN));
        // The stated error, half a unit of the third digit: at most 0.5 %.
        for value in (1..2_000_000).step_by(37) {
            let error = (to_digits(value, Some(3)) - i128::from(value)).abs();
            assert!(error * 200 <= i128::from(value), "{value}");
        }
        let third = Metric::Quantile { measure: 0, millionths: 500_000, digits: Some(3) };
        let events = [(W, 1234, 0), (W, 1226, 0), (W, 5000, 0)];
        assert_eq!(value(third, &events), Some(1230 * VALUE_TO_NUMERATOR));
        let mut content = all(third, &events);
        content.subtract(&Content::of_event(third, W, 1226, 0)).unwrap();
        assert_eq!(content.counts, all(third, &[(W, 1234, 0), (W, 5000, 0)]).counts, "a bucket counts what it holds");
    }

    #[test]
    fn woodruffs_interval_holds_the_ranks_around_a_median() {
        // 100 ranks, level 0.5 -+ 1.96 * 0.05 = 0.402 and 0.598: the 41st and the 60th value.
        let events: Vec<(i64, i64, u128)> = (1..=100).map(|rank| (W, rank * 10_000, 0)).collect();
        let told = all(MEDIAN, &events).told(&reading(MEDIAN), 0).unwrap();
        assert_eq!(told, Told { bounds: Some((41 * ONE, 60 * ONE)), ..Told::of(50 * ONE) });
    }

    #[test]
    fn a_key_counts_once_until_its_last_event_is_taken_back() {
        let mut content = all(DISTINCT, &[(W, 1, 7), (W, 1, 7), (W, 1, u128::MAX), (0, 1, 9)]);
        let told = |content: &Content| content.told(&Reading::Distinct, 0).unwrap().value / ONE;
        assert_eq!(told(&content), 2);
        let one = Content::of_event(DISTINCT, W, 1, 7);
        content.subtract(&one).unwrap();
        assert_eq!(told(&content), 2);
        content.add(&one.clone().negated()).unwrap();
        assert_eq!(told(&content), 1);
    }

    #[test]
    fn one_key_for_another_is_a_change_although_the_sums_are_equal() {
        let mut content = all(DISTINCT, &[(W, 1, 7)]);
        content.subtract(&all(DISTINCT, &[(W, 1, 8)])).unwrap();
        assert!(content.sums.is_zero() && !content.is_zero());
    }
}
