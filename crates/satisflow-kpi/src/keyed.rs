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
    /// Its number in the measure's population.
    pub(crate) cell: u32,
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
    /// The code, by dimension, that candidates have in one that they were not read for; empty where there is none.
    unread: Box<[Option<u32>]>,
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
        let Some(at) = candidate.place(list, &self.unread) else { return Shift::default() };
        let counted = kept.counts(at, list.len());
        let removed = list.remove(at);
        let next = kept.marginal(list.len()).and_then(|last| list.get(last)).cloned();
        if list.is_empty() {
            self.keys.remove(key);
        }
        if counted { Shift { out: Some(removed), into: next } } else { Shift::default() }
    }
}

impl Candidate {
    fn rank(&self) -> (i64, &str, &str) {
        (self.time, &self.event_id, &self.source)
    }

    /// Where it stands in a sorted list.
    fn place(&self, list: &[Candidate], unread: &[Option<u32>]) -> Option<usize> {
        if let Ok(at) = list.binary_search(self) {
            return Some(at);
        }
        let first = list.partition_point(|other| other.rank() < self.rank());
        let ties = list[first..].iter().take_while(|other| other.rank() == self.rank());
        ties.zip(first..).find(|(held, _)| held.was_read_as(self, unread)).map(|(_, at)| at)
    }

    /// Whether both are one but for dimensions that this one was not read for.
    fn was_read_as(&self, now: &Candidate, unread: &[Option<u32>]) -> bool {
        let mut codes = self.codes.iter().zip(&now.codes).zip(unread);
        let same = |((held, now), unread): ((&u32, &u32), &Option<u32>)| held == now || Some(*held) == *unread;
        (self.weight, self.value, self.cell) == (now.weight, now.value, now.cell)
            && !unread.is_empty()
            && codes.all(same)
    }

    /// The same with the codes of other dimensions: each from its place here, or a new one.
    fn recoded(&self, from: &[Result<usize, u32>]) -> Option<Candidate> {
        let code = |from: &Result<usize, u32>| match from {
            Ok(place) => self.codes.get(*place).copied(),
            Err(code) => Some(*code),
        };
        Some(Candidate { codes: from.iter().map(code).collect::<Option<_>>()?, ..self.clone() })
    }
}

impl Keyed {
    /// The same candidates with the codes of other dimensions; `None` where they have too few.
    pub(crate) fn recoded(&self, from: &[Result<usize, u32>]) -> Option<Keyed> {
        let list = |list: &Vec<Candidate>| {
            let mut list = list.iter().map(|candidate| candidate.recoded(from)).collect::<Option<Vec<_>>>()?;
            list.sort_unstable();
            Some(list)
        };
        let keys = self.keys.iter().map(|(key, all)| Some((key.clone(), list(all)?)));
        let unread = |from: &Result<usize, u32>| match from {
            Ok(place) => self.unread.get(*place).copied().flatten(),
            Err(code) => Some(*code),
        };
        Some(Keyed { keys: keys.collect::<Option<AHashMap<_, _>>>()?, unread: from.iter().map(unread).collect() })
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
        let (event_id, source) = (id.into(), "s".into());
        Candidate { time, event_id, source, weight: 1, value: 1, cell: 0, codes: Box::default() }
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
