//! First of each key: of all events with one key, only the first by event time,
//! event id, then source, counts. A function of the set, expressed as signed changes.

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

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
pub(crate) struct FirstPerKey {
    #[serde(with = "crate::snapshot::pairs")]
    keys: AHashMap<Box<str>, Vec<Candidate>>,
}

impl FirstPerKey {
    pub(crate) fn insert(&mut self, key: &str, candidate: Candidate) -> Shift {
        if !self.keys.contains_key(key) {
            self.keys.insert(key.into(), Vec::with_capacity(1));
        }
        let Some(list) = self.keys.get_mut(key) else { return Shift::default() };
        let at = list.partition_point(|other| *other < candidate);
        let before = (at == 0).then(|| list.first().cloned()).flatten();
        list.insert(at, candidate.clone());
        if at > 0 { Shift::default() } else { Shift { out: before, into: Some(candidate) } }
    }

    pub(crate) fn remove(&mut self, key: &str, candidate: &Candidate) -> Shift {
        let Some(list) = self.keys.get_mut(key) else { return Shift::default() };
        let Ok(at) = list.binary_search(candidate) else { return Shift::default() };
        let removed = list.remove(at);
        let next = list.first().cloned();
        if list.is_empty() {
            self.keys.remove(key);
        }
        if at > 0 { Shift::default() } else { Shift { out: Some(removed), into: next } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: i64, id: &str) -> Candidate {
        Candidate { time, event_id: id.into(), source: "s".into(), weight: 1, value: 1, codes: Box::default() }
    }

    #[test]
    fn an_earlier_opening_takes_the_place() {
        let mut cases = FirstPerKey::default();
        assert_eq!(cases.insert("c", at(5, "b")), Shift { out: None, into: Some(at(5, "b")) });
        assert_eq!(cases.insert("c", at(5, "c")), Shift::default());
        assert_eq!(cases.insert("c", at(5, "a")), Shift { out: Some(at(5, "b")), into: Some(at(5, "a")) });
    }

    #[test]
    fn of_equal_times_and_ids_the_source_decides_whoever_came_first() {
        let of = |source: &str, code| Candidate { source: source.into(), codes: [code].into(), ..at(1, "a") };
        let first = |order: [Candidate; 2]| {
            let mut cases = FirstPerKey::default();
            order.into_iter().for_each(|candidate| drop(cases.insert("c", candidate)));
            cases.keys["c"][0].source.clone()
        };
        assert_eq!(first([of("x", 0), of("b", 1)]), first([of("b", 1), of("x", 0)]));
        assert_eq!(&*first([of("x", 0), of("b", 1)]), "b");
    }

    #[test]
    fn a_recalled_first_hands_over_to_the_next() {
        let mut cases = FirstPerKey::default();
        cases.insert("c", at(1, "a"));
        cases.insert("c", at(2, "b"));
        assert_eq!(cases.remove("c", &at(2, "x")), Shift::default());
        assert_eq!(cases.remove("c", &at(1, "a")), Shift { out: Some(at(1, "a")), into: Some(at(2, "b")) });
        assert_eq!(cases.remove("c", &at(2, "b")), Shift { out: Some(at(2, "b")), into: None });
    }
}
