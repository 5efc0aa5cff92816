//! Groups of one window side by side, and metrics of one group: ranks, shares of
//! the whole, gaps.
//!
//! - What is compared are values as rows show them: 12 decimals, half-even. Equal
//!   values are equal, and no float decides an order.
//! - A function of what the groups hold, whatever the order in which they came.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::i256;

use crate::content::{Content, Reading};
use crate::definition::{Best, Comparison, Definition, Metric, RankPart, Shrink, Side};
use crate::exact::{divide_half_even, to_f64};
use crate::level::{p_value, sigma_level};
use crate::row::{Compared, VALUE_UNIT, by_itself, fraction, value};
use crate::stats::normal;
use crate::sums::Overflow;

/// 6 decimals, those of weights here.
const MILLION: i128 = 1_000_000;

/// A group at an end.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) group: u32,
    pub(crate) content: Content,
    /// Whether an event of the group entered or left here.
    pub(crate) own: bool,
    /// The same as it was when this end was published last.
    pub(crate) was_own: bool,
}

/// Values by entry; `None` has no part in a comparison.
type Values = Vec<Option<i128>>;

/// What is said of each entry; `name` gives the values of a group's dimensions.
pub(crate) fn compare<'a>(
    definition: &Definition,
    entries: &[Entry],
    name: impl Fn(u32) -> Vec<Option<&'a Arc<str>>>,
) -> Result<Vec<Compared>, Overflow> {
    let Some(comparison) = &definition.compared else { return Ok(vec![Compared::default(); entries.len()]) };
    let own = || values(definition.metric, 0, entries);
    let plain = match comparison {
        Comparison::Rank { best, shrink: None } => places(&own(), *best),
        Comparison::Rank { best, shrink: Some(shrink) } => places(&shrunk(definition.metric, *shrink, entries)?, *best),
        Comparison::RankOfGap { minus, times, best } => {
            places(&weighted_gaps(&own(), &values(*minus, 1, entries), times.map(|t| values(t, 2, entries))), *best)
        }
        Comparison::Shrunk(shrink) => shrunk(definition.metric, *shrink, entries)?,
        Comparison::TotalShare => total_share(&own()),
        Comparison::CumulativeShare => {
            let own = own();
            let total = total(&own);
            cumulated(&own, entries, name, |below, value| share(below.wrapping_add(value), total))
        }
        Comparison::VitalFew { millionths } => {
            let own = own();
            let total = total(&own);
            cumulated(&own, entries, name, |below, _| is_vital(below, total, *millionths))
        }
        Comparison::WeightedRanks(parts) => weighted_ranks(parts, entries),
        Comparison::Change(from) => own().into_iter().zip(values(from.metric, 1, entries)).map(change).collect(),
        Comparison::Quotient(by) => own().into_iter().zip(values(by.metric, 1, entries)).map(quotient).collect(),
        Comparison::Climbed { from, best } => {
            let now = places(&values_there(definition.metric, 0, entries), *best);
            let before = places(&values_there(from.metric, 1, entries), *best);
            now.into_iter().zip(before).map(|(now, before)| Some(before? - now?)).collect()
        }
        Comparison::Sigma => own().into_iter().map(|dpmo| sigma_level(dpmo?)).collect(),
        Comparison::PValue { from, side } => p_values(definition.metric, from.metric, *side, entries),
        Comparison::Minus(other) => return Ok(minus(definition.metric, other.metric, entries)),
        Comparison::Others => return beside_others(definition.metric, entries),
    };
    Ok(plain.into_iter().map(|value| Compared { value, ..Compared::default() }).collect())
}

/// What a metric says of a content.
fn said(metric: Metric, content: &Content) -> Compared {
    by_itself(metric, &content.sums, content.told(&Reading::plain(metric), 0))
}

/// What a group holds of a metric, by its number among those of the definition.
fn held(entry: &Entry, number: usize) -> Cow<'_, Content> {
    entry.content.of_metric(number).map(Cow::Borrowed).unwrap_or_default()
}

/// The values of a metric by its number among those of the definition.
fn values(metric: Metric, number: usize, entries: &[Entry]) -> Values {
    let value = |content: &Content| value(metric, &content.sums, content.told(&Reading::plain(metric), 0));
    let one = |entry: &Entry| if entry.content.is_zero() { None } else { value(&held(entry, number)) };
    entries.iter().map(one).collect()
}

/// The same, without those of groups that hold nothing of that metric.
fn values_there(metric: Metric, number: usize, entries: &[Entry]) -> Values {
    let is_there = |entry: &Entry| !held(entry, number).is_zero_itself();
    let all = values(metric, number, entries);
    all.into_iter().zip(entries).map(|(value, entry)| value.filter(|_| is_there(entry))).collect()
}

/// How many values lie before each.
fn before<T: Ord + Copy>(values: &[Option<T>], best: Best) -> Vec<Option<usize>> {
    let mut sorted: Vec<T> = values.iter().flatten().copied().collect();
    sorted.sort_unstable();
    let before = |value: T| match best {
        Best::High => sorted.len() - sorted.partition_point(|other| *other <= value),
        Best::Low => sorted.partition_point(|other| *other < value),
    };
    values.iter().map(|value| value.map(before)).collect()
}

fn places<T: Ord + Copy>(values: &[Option<T>], best: Best) -> Values {
    let place = |before: usize| i128::try_from(before + 1).unwrap_or(i128::MAX / VALUE_UNIT) * VALUE_UNIT;
    before(values, best).into_iter().map(|before| before.map(place)).collect()
}

/// The differences of two values, each times a third one where there is one.
fn weighted_gaps(of: &Values, minus: &Values, times: Option<Values>) -> Vec<Option<i256>> {
    let gap = |at: usize| {
        let gap = i256::from_i128(of[at]?).wrapping_sub(i256::from_i128(minus[at]?));
        let factor = times.as_ref().map_or(Some(1), |times| times[at])?;
        Some(gap.wrapping_mul(i256::from_i128(factor)))
    };
    (0..of.len()).map(gap).collect()
}

/// What all groups hold together.
fn whole(entries: &[Entry]) -> Result<Content, Overflow> {
    let mut whole = Content::default();
    entries.iter().try_for_each(|entry| whole.add(&entry.content))?;
    Ok(whole)
}

fn shrunk(metric: Metric, shrink: Shrink, entries: &[Entry]) -> Result<Values, Overflow> {
    let toward = match shrink.toward {
        Some(toward) => Some(i128::from(toward) * MILLION),
        None => said(metric, &whole(entries)?).value,
    };
    let weight = i256::from_i128(i128::from(shrink.weight));
    let one = |(entry, value): (&Entry, Option<i128>)| {
        let (_, _, n) = fraction(metric, &entry.content.sums, None);
        let n = i256::from_i128(i128::from(n) * MILLION);
        let drawn = weight.wrapping_mul(i256::from_i128(toward?));
        let sum = drawn.wrapping_add(n.wrapping_mul(i256::from_i128(value?)));
        divide_half_even(sum, weight.wrapping_add(n))
    };
    Ok(entries.iter().zip(values(metric, 0, entries)).map(one).collect())
}

fn total(values: &[Option<i128>]) -> i256 {
    values.iter().flatten().fold(i256::ZERO, |sum, value| sum.wrapping_add(i256::from_i128(*value)))
}

fn share(part: i256, total: i256) -> Option<i128> {
    let part = part.wrapping_mul(i256::from_i128(VALUE_UNIT));
    if total > i256::ZERO { divide_half_even(part, total) } else { None }
}

fn total_share(values: &[Option<i128>]) -> Values {
    let total = total(values);
    values.iter().map(|value| share(i256::from_i128((*value)?), total)).collect()
}

/// What `of` makes of the sum of the values before each, and of its own: from the largest on, equal ones by name.
fn cumulated<'a>(
    values: &[Option<i128>],
    entries: &[Entry],
    name: impl Fn(u32) -> Vec<Option<&'a Arc<str>>>,
    of: impl Fn(i256, i256) -> Option<i128>,
) -> Values {
    let valued = values.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?)));
    let mut order: Vec<_> = valued.map(|(at, value)| (std::cmp::Reverse(value), name(entries[at].group), at)).collect();
    order.sort_unstable();
    let (mut made, mut below) = (vec![None; values.len()], i256::ZERO);
    for (std::cmp::Reverse(value), _, at) in order {
        let value = i256::from_i128(value);
        made[at] = of(below, value);
        below = below.wrapping_add(value);
    }
    made
}

fn is_vital(below: i256, total: i256, millionths: u32) -> Option<i128> {
    let reached = below.wrapping_mul(i256::from_i128(MILLION));
    let wanted = total.wrapping_mul(i256::from_i128(i128::from(millionths)));
    (total > i256::ZERO).then(|| if reached < wanted { VALUE_UNIT } else { 0 })
}

fn weighted_ranks(parts: &[RankPart], entries: &[Entry]) -> Values {
    let mut all: Vec<Values> =
        parts.iter().enumerate().map(|(number, part)| values(part.metric, number, entries)).collect();
    for at in 0..entries.len() {
        if all.iter().any(|values| values[at].is_none()) {
            all.iter_mut().for_each(|values| values[at] = None);
        }
    }
    let ranked = all.first().map_or(0, |values| values.iter().flatten().count());
    let others = i256::from_i128(i128::try_from(ranked).unwrap_or(i128::MAX).saturating_sub(1).max(1));
    let mut sums = vec![Some(i256::ZERO); entries.len()];
    for (part, values) in parts.iter().zip(&all) {
        let weight = i256::from_i128(i128::from(part.weight) * MILLION);
        // Those that are worse.
        let worse = match part.best {
            Best::High => before(values, Best::Low),
            Best::Low => before(values, Best::High),
        };
        for (sum, worse) in sums.iter_mut().zip(worse) {
            let worse = worse.and_then(|worse| i128::try_from(worse).ok()).map(i256::from_i128);
            *sum = sum.zip(worse).map(|(sum, worse)| sum.wrapping_add(weight.wrapping_mul(worse)));
        }
    }
    sums.into_iter().map(|sum| divide_half_even(sum?, others)).collect()
}

fn change((now, before): (Option<i128>, Option<i128>)) -> Option<i128> {
    let before = i256::from_i128(before?);
    share(i256::from_i128(now?).wrapping_sub(before), before)
}

fn quotient((part, whole): (Option<i128>, Option<i128>)) -> Option<i128> {
    share(i256::from_i128(part?), i256::from_i128(whole?))
}

fn p_values(metric: Metric, from: Metric, side: Side, entries: &[Entry]) -> Values {
    entries.iter().map(|entry| p_value((from, &held(entry, 1).sums), (metric, &entry.content.sums), side)).collect()
}

fn minus(metric: Metric, other: Metric, entries: &[Entry]) -> Vec<Compared> {
    let one = |entry: &Entry| {
        if entry.content.is_zero() {
            return Compared::default();
        }
        gap(said(metric, &entry.content), said(other, &held(entry, 1)))
    };
    entries.iter().map(one).collect()
}

fn beside_others(metric: Metric, entries: &[Entry]) -> Result<Vec<Compared>, Overflow> {
    let whole = whole(entries)?;
    let one = |entry: &Entry| {
        let mut others = whole.clone();
        others.subtract(&entry.content)?;
        Ok(gap(said(metric, &entry.content), said(metric, &others)))
    };
    entries.iter().map(one).collect()
}

/// The difference of what is known of two samples that have no event in common.
fn gap(one: Compared, other: Compared) -> Compared {
    let value = one.value.zip(other.value).and_then(|(one, other)| one.checked_sub(other));
    let se = one.se.zip(other.se).map(|(one, other)| one.hypot(other)).filter(|_| value.is_some());
    let float = |value: i128| to_f64(i256::from_i128(value)) / VALUE_UNIT as f64;
    Compared { value, se, interval: value.zip(se).map(|(value, se)| normal(float(value), se)) }
}

#[cfg(test)]
mod tests;
