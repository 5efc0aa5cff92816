//! Events that compete for a key: the first few of each by event time, event id,
//! then source count, or the last few. A function of the set, expressed as signed changes.

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use crate::definition::Kept;

/// An event that competes for its key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) time: i64,
    pub(crate) event_id: Box<str>,
    pub(crate) source: Box<str>,
    pub(crate) weight: i64,
    pub(crate) value: i64,
    /// Codes of all dimensions.
    pub(crate) codes: Box<[u32]>,
}

/// What an insertion or removal changes: first what counts no longer, then what counts now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shift {
    pub(crate) out: Option<Candidate>,
    pub(crate) into: Option<Candidate>,
}

/// Candidates by key, each list sorted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Keyed {
    #[serde(with = "crate::snapshot::pairs")]
    keys: AHashMap<Box<str>, Vec<Candidate>>,
}

impl Keyed {
    pub(crate) fn insert(&mut self, kept: Kept, key: &str, candidate: Candidate) -> Shift {
        if !self.keys.contains_key(key) {
            self.keys.insert(key.into(), Vec::with_capacity(1));
        }
        let Some(list) = self.keys.get_mut(key) else { return Shift::default() };
        let at = list.partition_point(|other| *other < candidate);
        let before = kept.marginal(list.len()).and_then(|last| list.get(last)).cloned();
        list.insert(at, candidate.clone());
        if kept.counts(at, list.len()) { Shift { out: before, into: Some(candidate) } } else { Shift::default() }
    }

    pub(crate) fn remove(&mut self, kept: Kept, key: &str, candidate: &Candidate) -> Shift {
        let Some(list) = self.keys.get_mut(key) else { return Shift::default() };
        let Ok(at) = list.binary_search(candidate) else { return Shift::default() };
        let counted = kept.counts(at, list.len());
        let removed = list.remove(at);
        let next = kept.marginal(list.len()).and_then(|last| list.get(last)).cloned();
        if list.is_empty() {
            self.keys.remove(key);
        }
        if counted { Shift { out: Some(removed), into: next } } else { Shift::default() }
    }
}

impl Kept {
    /// Whether the candidate at a place of a sorted list of a length counts.
    fn counts(self, at: usize, len: usize) -> bool {
        match self {
            Kept::First(n) => at < n.get() as usize,
            Kept::Last(n) => len - at <= n.get() as usize,
        }
    }

    /// Of a list in which as many count as may, the one that one more would displace.
    fn marginal(self, len: usize) -> Option<usize> {
        match self {
            Kept::First(n) => Some(n.get() as usize - 1).filter(|last| *last < len),
            Kept::Last(n) => len.checked_sub(n.get() as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const ONE: Kept = Kept::FIRST;

    fn at(time: i64, id: &str) -> Candidate {
        Candidate { time, event_id: id.into(), source: "s".into(), weight: 1, value: 1, codes: Box::default() }
    }

    #[test]
    fn an_earlier_opening_takes_the_place() {
        let mut cases = Keyed::default();
        assert_eq!(cases.insert(ONE, "c", at(5, "b")), Shift { out: None, into: Some(at(5, "b")) });
        assert_eq!(cases.insert(ONE, "c", at(5, "c")), Shift::default());
        assert_eq!(cases.insert(ONE, "c", at(5, "a")), Shift { out: Some(at(5, "b")), into: Some(at(5, "a")) });
    }

    #[test]
    fn of_equal_times_and_ids_the_source_decides_whoever_came_first() {
        let of = |source: &str, code| Candidate { source: source.into(), codes: [code].into(), ..at(1, "a") };
        let first = |order: [Candidate; 2]| {
            let mut cases = Keyed::default();
            order.into_iter().for_each(|candidate| drop(cases.insert(ONE, "c", candidate)));
            cases.keys["c"][0].source.clone()
        };
        assert_eq!(first([of("x", 0), of("b", 1)]), first([of("b", 1), of("x", 0)]));
        assert_eq!(&*first([of("x", 0), of("b", 1)]), "b");
    }

    #[test]
    fn a_recalled_first_hands_over_to_the_next() {
        let mut cases = Keyed::default();
        cases.insert(ONE, "c", at(1, "a"));
        cases.insert(ONE, "c", at(2, "b"));
        assert_eq!(cases.remove(ONE, "c", &at(2, "x")), Shift::default());
        assert_eq!(cases.remove(ONE, "c", &at(1, "a")), Shift { out: Some(at(1, "a")), into: Some(at(2, "b")) });
        assert_eq!(cases.remove(ONE, "c", &at(2, "b")), Shift { out: Some(at(2, "b")), into: None });
    }

    #[test]
    fn of_several_kept_the_marginal_one_gives_way_and_comes_back() {
        let two = |kept: fn(NonZeroU32) -> Kept| kept(NonZeroU32::new(2).unwrap());
        for (kept, order) in [(two(Kept::First), [4, 3, 2, 1]), (two(Kept::Last), [1, 2, 3, 4])] {
            let mut ratings = Keyed::default();
            let event = |place: usize| at(order[place], "a");
            assert_eq!(ratings.insert(kept, "k", event(1)), Shift { out: None, into: Some(event(1)) });
            assert_eq!(ratings.insert(kept, "k", event(2)), Shift { out: None, into: Some(event(2)) });
            assert_eq!(ratings.insert(kept, "k", event(0)), Shift::default());
            assert_eq!(ratings.insert(kept, "k", event(3)), Shift { out: Some(event(1)), into: Some(event(3)) });
            assert_eq!(ratings.remove(kept, "k", &event(0)), Shift::default());
            assert_eq!(ratings.remove(kept, "k", &event(3)), Shift { out: Some(event(3)), into: Some(event(1)) });
            assert_eq!(ratings.remove(kept, "k", &event(1)), Shift { out: Some(event(1)), into: None });
        }
    }
}
