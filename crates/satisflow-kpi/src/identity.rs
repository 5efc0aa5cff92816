//! Who counts: one event an identity, and void events not at all.
//!
//! An identity is (source, event id). Copies of one event that reached several
//! partitions are all accepted; the one at the least (topic, partition, offset)
//! counts. An event is void once any accepted event retracts or supersedes it,
//! whichever came first. Both are functions of the set, so the state here only
//! says which earlier decisions a new arrival takes back.

use std::sync::Arc;

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use crate::batch::Sign;

/// Where a record stands in Kafka. Ordered as text topic, partition, offset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// An accepted event as far as identity is concerned.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Hash of (source, event id).
    pub identity: u128,
    /// Where it stands.
    pub position: Position,
    /// Identities that it retracts or supersedes.
    pub voids: [Option<u128>; 2],
}

/// What a batch of arrivals changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// What each arrival does: it counts, or it leaves a trace.
    pub signs: Vec<Sign>,
    /// Events of earlier batches that count no longer; their measured inputs
    /// are to be applied with [`Sign::Recall`].
    pub recall: Vec<Position>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Entry {
    /// Index into `partitions`; `NOT_SEEN` when only a retraction names it.
    partition: u32,
    void: bool,
    offset: i64,
}

const NOT_SEEN: u32 = u32::MAX;

/// The identities of all accepted events.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Identities {
    #[serde(with = "crate::snapshot::pairs")]
    entries: AHashMap<u128, Entry>,
    #[serde(with = "crate::snapshot::named")]
    partitions: Vec<(Arc<str>, i32)>,
}

impl Identities {
    /// Number of identities held, seen or named.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes in a batch and says what counts.
    pub fn resolve(&mut self, arrivals: &[Arrival]) -> Resolution {
        let mut out = Resolution { signs: Vec::with_capacity(arrivals.len()), recall: Vec::new() };
        let mut counted_here = AHashMap::new();
        for (row, arrival) in arrivals.iter().enumerate() {
            let (sign, displaced) = self.arrive(arrival);
            out.signs.push(sign);
            self.take_back(displaced, &mut counted_here, arrival.identity, &mut out);
            if sign == Sign::Count {
                counted_here.insert(arrival.identity, row);
            }
            for target in arrival.voids.iter().flatten() {
                let void = self.make_void(*target);
                self.take_back(void, &mut counted_here, *target, &mut out);
            }
        }
        out
    }

    fn take_back(
        &self,
        entry: Option<Entry>,
        counted_here: &mut AHashMap<u128, usize>,
        identity: u128,
        out: &mut Resolution,
    ) {
        let Some(entry) = entry else { return };
        match counted_here.remove(&identity) {
            Some(row) => out.signs[row] = Sign::Touch,
            None => out.recall.push(self.position(entry)),
        }
    }

    /// The arrival's sign, and the entry that counted until now if displaced.
    fn arrive(&mut self, arrival: &Arrival) -> (Sign, Option<Entry>) {
        let partition = self.partition_index(&arrival.position);
        let new = Entry { partition, void: false, offset: arrival.position.offset };
        let Some(old) = self.entries.get(&arrival.identity).copied() else {
            self.entries.insert(arrival.identity, new);
            return (Sign::Count, None);
        };
        if old.partition != NOT_SEEN && self.order(old) <= self.order(new) {
            return (Sign::Touch, None);
        }
        self.entries.insert(arrival.identity, Entry { void: old.void, ..new });
        if old.void { (Sign::Touch, None) } else { (Sign::Count, Some(old)) }
    }

    /// Marks an identity void; gives the entry that counted until now.
    fn make_void(&mut self, identity: u128) -> Option<Entry> {
        let entry = self.entries.entry(identity).or_insert(Entry { partition: NOT_SEEN, void: false, offset: 0 });
        let counted = !entry.void && entry.partition != NOT_SEEN;
        entry.void = true;
        counted.then_some(*entry)
    }

    fn partition_index(&mut self, position: &Position) -> u32 {
        let found = self.partitions.iter().position(|(t, p)| *t == position.topic && *p == position.partition);
        let index = found.unwrap_or_else(|| {
            self.partitions.push((Arc::clone(&position.topic), position.partition));
            self.partitions.len() - 1
        });
        u32::try_from(index).expect("fewer than 2^32 partitions")
    }

    fn order(&self, entry: Entry) -> (&str, i32, i64) {
        let (topic, partition) = &self.partitions[entry.partition as usize];
        (topic, *partition, entry.offset)
    }

    fn position(&self, entry: Entry) -> Position {
        let (topic, partition) = &self.partitions[entry.partition as usize];
        Position { topic: Arc::clone(topic), partition: *partition, offset: entry.offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(identity: u128, partition: i32, offset: i64, voids: Option<u128>) -> Arrival {
        Arrival { identity, position: Position { topic: "t".into(), partition, offset }, voids: [voids, None] }
    }

    fn positions(resolution: &Resolution) -> Vec<(i32, i64)> {
        resolution.recall.iter().map(|p| (p.partition, p.offset)).collect()
    }

    #[test]
    fn the_least_position_of_copies_counts_whatever_the_order() {
        let mut ids = Identities::default();
        assert_eq!(ids.resolve(&[at(1, 2, 5, None)]).signs, [Sign::Count]);
        assert_eq!(ids.resolve(&[at(1, 3, 1, None)]).signs, [Sign::Touch]);
        let third = ids.resolve(&[at(1, 0, 9, None)]);
        assert_eq!(third.signs, [Sign::Count]);
        assert_eq!(positions(&third), [(2, 5)]);
    }

    #[test]
    fn within_one_batch_nothing_is_recalled() {
        let mut ids = Identities::default();
        let out = ids.resolve(&[at(1, 1, 0, None), at(1, 0, 0, None), at(2, 0, 1, Some(1))]);
        assert_eq!(out.signs, [Sign::Touch, Sign::Touch, Sign::Count]);
        assert!(out.recall.is_empty());
    }

    #[test]
    fn a_retraction_is_remembered_until_its_target_comes() {
        let mut ids = Identities::default();
        assert_eq!(ids.resolve(&[at(2, 0, 0, Some(1))]).signs, [Sign::Count]);
        let target = ids.resolve(&[at(1, 0, 1, None)]);
        assert_eq!((target.signs.as_slice(), target.recall.len()), ([Sign::Touch].as_slice(), 0));
    }

    #[test]
    fn a_second_retraction_takes_nothing_more() {
        let mut ids = Identities::default();
        ids.resolve(&[at(1, 0, 0, None)]);
        assert_eq!(positions(&ids.resolve(&[at(2, 0, 1, Some(1))])), [(0, 0)]);
        assert!(ids.resolve(&[at(3, 0, 2, Some(1))]).recall.is_empty());
    }
}
