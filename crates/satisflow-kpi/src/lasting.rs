//! What begins in a window and lasts: what still goes on at the window's end, and how long the rest took.
//!
//! - A life is a time at which something began and how long it lasted, both µs. Each counts once, whatever its weight.
//! - A window's end sees what was over before it; of what ends later it knows that it goes on.
//! - A share of the survival curve (F23) is compared as a product of whole numbers wherever floats are too close.

use num_bigint::BigInt;
use serde::{Deserialize, Serialize};

use crate::stats::Z_95;
use crate::told::{ONE, Told};

/// From µs to seconds of 10 decimals.
const MICROS_TO_RESULT: i128 = 10_000;
/// Above how long a life lasts, in its key.
const SHIFT: i128 = 1 << 64;
const MILLION: u64 = 1_000_000;
/// Relative distance from which floats tell which of two shares is the larger one.
const FLOAT_ERROR: f64 = 1e-9;

/// What is said of lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lasting {
    /// Seconds after which so much is over, in millionths, by Kaplan and Meier.
    Survival(u32),
    /// How many go on.
    OpenCount,
    /// Mean seconds for which those that go on have done so.
    OpenAge,
}

/// The number of a life among counts. Below 0 it goes on.
pub(crate) fn key(began: i64, lasted: i64) -> i128 {
    i128::from(began) * SHIFT + i128::from(lasted.max(-1)) + 1
}

/// A life as the end of a window sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    /// µs that it lasted, or has lasted so far.
    time: i128,
    /// Of equal times those that are over come first: the others were at risk.
    goes_on: bool,
    number: u64,
}

fn seen((key, number): (i128, i128), end: i64) -> Seen {
    let (began, lasted) = (key.div_euclid(SHIFT), key.rem_euclid(SHIFT) - 1);
    let so_far = i128::from(end) - began;
    let goes_on = lasted < 0 || lasted >= so_far;
    // Of the panes of one window no life is taken away twice.
    let number = u64::try_from(number).unwrap_or(0);
    Seen { time: if goes_on { so_far } else { lasted }, goes_on, number }
}

impl Lasting {
    /// Of lives by their key, with how many there are of each.
    pub(crate) fn told(self, lives: impl Iterator<Item = (i128, i128)>, end: i64) -> Option<Told> {
        let lives = lives.map(|life| seen(life, end));
        match self {
            Lasting::OpenCount => Some(Told::of(open(lives).0 * ONE)),
            Lasting::OpenAge => {
                let (number, time) = open(lives);
                (number > 0).then(|| Told { of: number * ONE, ..Told::of(time * MICROS_TO_RESULT) })
            }
            Lasting::Survival(millionths) => survival(lives.collect(), millionths),
        }
    }
}

/// How many go on, and for how many µs all together.
fn open(lives: impl Iterator<Item = Seen>) -> (i128, i128) {
    lives.filter(|life| life.goes_on).fold((0, 0), |(number, time), life| {
        let more = i128::from(life.number);
        (number + more, time + more * life.time)
    })
}

/// A step of the curve: of so many at risk so many end.
#[derive(Debug, Clone, Copy)]
struct Step {
    time: i128,
    at_risk: u64,
    ended: u64,
}

fn steps(mut lives: Vec<Seen>) -> Vec<Step> {
    lives.sort_unstable();
    let mut at_risk: u64 = lives.iter().map(|life| life.number).sum();
    let mut steps = Vec::new();
    for same in lives.chunk_by(|a, b| a.time == b.time) {
        let ended = same.iter().filter(|life| !life.goes_on).map(|life| life.number).sum();
        if ended > 0 {
            steps.push(Step { time: same[0].time, at_risk, ended });
        }
        at_risk -= same.iter().map(|life| life.number).sum::<u64>();
    }
    steps
}

/// The first time at which the curve is at most what is left, with Brookmeyer and Crowley's interval (1982): the times
/// at which Greenwood's interval of the curve holds what is left.
fn survival(lives: Vec<Seen>, millionths: u32) -> Option<Told> {
    let steps = steps(lives);
    let left = 1.0 - f64::from(millionths) / MILLION as f64;
    let (mut share, mut greenwood) = (1.0, 0.0);
    let (mut found, mut low, mut high) = (None, None, None);
    for (number, Step { time, at_risk, ended }) in steps.iter().enumerate() {
        let after = at_risk - ended;
        share *= after as f64 / *at_risk as f64;
        greenwood += if after > 0 { *ended as f64 / (*at_risk as f64 * after as f64) } else { 0.0 };
        let half = Z_95 * share * greenwood.sqrt();
        let is_reached = match (share - left).abs() > FLOAT_ERROR * left {
            true => share < left,
            false => is_at_most(&steps[..=number], millionths),
        };
        found = found.or_else(|| is_reached.then_some(*time));
        low = low.or_else(|| (share - half <= left).then_some(*time));
        high = high.or_else(|| (share + half <= left).then_some(*time));
        if high.is_some() {
            break;
        }
    }
    let seconds = |time: i128| time * MICROS_TO_RESULT;
    let bounds = low.zip(high).map(|(low, high)| (seconds(low), seconds(high)));
    found.map(|time| Told { bounds, ..Told::of(seconds(time)) })
}

/// Whether the curve after these steps is at most what is left, in whole numbers.
fn is_at_most(steps: &[Step], millionths: u32) -> bool {
    let after: Vec<u64> = steps.iter().map(|step| step.at_risk - step.ended).collect();
    let at_risk: Vec<u64> = steps.iter().map(|step| step.at_risk).collect();
    product(&after) * MILLION <= product(&at_risk) * (MILLION - u64::from(millionths))
}

/// Halves first: numbers of like size are multiplied fastest.
fn product(factors: &[u64]) -> BigInt {
    match factors {
        [] => BigInt::from(1),
        [one] => BigInt::from(*one),
        _ => {
            let (first, second) = factors.split_at(factors.len() / 2);
            product(first) * product(second)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;
    const MEDIAN: Lasting = Lasting::Survival(500_000);

    /// Of lives in hours: when each began, and how long it lasted, which is below 0 where it goes on.
    fn told(of: Lasting, lives: &[(i64, i64)], end: i64) -> Option<Told> {
        let life = |(began, lasted): &(i64, i64)| (key(began * HOUR, lasted * HOUR), 1);
        of.told(lives.iter().map(life), end * HOUR)
    }

    fn hours(of: Lasting, lives: &[(i64, i64)], end: i64) -> Option<i128> {
        told(of, lives, end).map(|told| told.value / (ONE * 3600))
    }

    /// F23 by the end of hour 100: two are over after more than that, so they go on.
    const F23: [(i64, i64); 6] = [(10, 2), (20, 5), (95, -1), (30, 9), (88, 40), (40, 20)];

    #[test]
    fn f23_half_are_over_after_nine_hours() {
        assert_eq!(hours(MEDIAN, &F23, 100), Some(9));
        // .8333, .6667, .4444, 0.
        for (left, expected) in [(833_333, 5), (833_334, 2), (666_667, 5), (666_666, 9), (444_444, 20), (444_445, 9)] {
            assert_eq!(hours(Lasting::Survival(1_000_000 - left), &F23, 100), Some(expected), "{left}");
        }
        assert_eq!(told(Lasting::OpenCount, &F23, 100), Some(Told::of(2 * ONE)));
        let age = told(Lasting::OpenAge, &F23, 100).unwrap();
        assert_eq!((age.value / ONE / 3600, age.of / ONE), (17, 2));
    }

    #[test]
    fn an_end_sees_what_was_over_before_it() {
        let life = [(0, 5)];
        assert_eq!(hours(MEDIAN, &life, 5), None, "the window does not hold its end");
        assert_eq!(told(Lasting::OpenCount, &life, 5), Some(Told::of(ONE)));
        assert_eq!(hours(MEDIAN, &life, 6), Some(5));
        assert_eq!(told(Lasting::OpenCount, &life, 6), Some(Told::of(0)));
        assert_eq!(told(Lasting::OpenAge, &life, 6), None);
        assert_eq!(told(MEDIAN, &[], 6), None);
    }

    #[test]
    fn a_share_that_is_met_exactly_is_met() {
        // After one of two: exactly half, which a product of thirds misses in floats.
        assert_eq!(hours(MEDIAN, &[(0, 1), (0, 7)], 9), Some(1));
        let lives: Vec<(i64, i64)> = (1..=6).map(|hour| (0, hour)).collect();
        assert_eq!(hours(MEDIAN, &lives, 9), Some(3));
        assert_eq!(hours(Lasting::Survival(500_001), &lives, 9), Some(4));
        assert_eq!(hours(MEDIAN, &[(0, 1), (0, -1), (0, -1)], 9), None);
    }

    #[test]
    fn the_interval_is_where_greenwoods_holds_what_is_left() {
        // 20 lives of 1 to 20 hours: S = 1 - t / 20, half-width 1.96 sqrt(S (1 - S) / 20).
        let lives: Vec<(i64, i64)> = (1..=20).map(|hour| (0, hour)).collect();
        let (low, high) = told(MEDIAN, &lives, 99).unwrap().bounds.unwrap();
        assert_eq!((low / ONE / 3600, high / ONE / 3600), (6, 15));
        assert_eq!(told(MEDIAN, &lives[..3], 99).unwrap().bounds.map(|(low, _)| low / ONE / 3600), Some(1));
    }
}
