//! Who counts: one event an identity, and void events not at all.
//!
//! An identity is (source, event id). Copies of one event that reached several
//! partitions are all accepted; the one at the least (topic, partition, offset)
//! counts. An event is void once any accepted event retracts or supersedes it,
//! whichever came first. Both are functions of the set, so the state here only
//! says which earlier decisions a new arrival takes back.
//!
//! The state is a cache of the lake: what is known of the latest identities is held,
//! of all others only that something is known. What an arrival needs of those has to
//! be read again before it is resolved ([`Identities::unsure`], [`Identities::recollect`]).

use std::sync::Arc;

use ahash::{AHashMap, AHashSet};

use crate::batch::Sign;
use crate::filter::IdFilter;

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

impl Arrival {
    /// The identity that it bears, and those that it names.
    fn identities(&self) -> impl Iterator<Item = u128> {
        [Some(self.identity), self.voids[0], self.voids[1]].into_iter().flatten()
    }
}

/// What a batch of arrivals changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// What each arrival does: it counts, or it leaves a trace.
    pub signs: Vec<Sign>,
    /// Events of earlier batches that count no longer; their measured inputs
    /// are to be applied with [`Sign::Recall`].
    pub recall: Vec<Position>,
    /// Arrivals whose identity had been accepted before.
    pub copies: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Index into `partitions`; `NOT_SEEN` when no event bears the identity.
    partition: u32,
    void: bool,
    offset: i64,
}

/// What an arrival does.
struct Arrived {
    sign: Sign,
    /// The entry that counted until now, if it does no longer.
    displaced: Option<Entry>,
    /// Whether an event of its identity came before.
    seen: bool,
}

const NOT_SEEN: u32 = u32::MAX;
const UNKNOWN: Entry = Entry { partition: NOT_SEEN, void: false, offset: 0 };

/// The identities that accepted events bear or name.
#[derive(Debug)]
pub struct Identities {
    recent: AHashMap<u128, Entry>,
    older: AHashMap<u128, Entry>,
    /// Every identity of which something is known.
    known: IdFilter,
    partitions: Vec<(Arc<str>, i32)>,
    held_max: usize,
}

impl Identities {
    /// Nothing is known. About `held_max` identities are held at most, and those of the batch at hand.
    pub fn new(held_max: usize) -> Identities {
        Identities::knowing(IdFilter::default(), held_max)
    }

    /// Of some identities it is known that something is known.
    pub(crate) fn knowing(known: IdFilter, held_max: usize) -> Identities {
        Identities { recent: AHashMap::new(), older: AHashMap::new(), known, partitions: Vec::new(), held_max }
    }

    pub(crate) fn known(&self) -> &IdFilter {
        &self.known
    }

    /// Number of identities held.
    pub fn len(&self) -> usize {
        self.recent.len() + self.older.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Identities that arrivals bear or name and of which more may be known than is
    /// held: [`Identities::recollect`] them before [`Identities::resolve`].
    pub fn unsure(&self, arrivals: &[Arrival]) -> AHashSet<u128> {
        arrivals
            .iter()
            .flat_map(Arrival::identities)
            .filter(|id| !self.holds(*id) && self.known.may_contain(*id))
            .collect()
    }

    /// Takes up what is known of some identities: `earlier` are all arrivals resolved
    /// so far that bear or name one of them, in any order, maybe among others.
    pub fn recollect(&mut self, asked: &AHashSet<u128>, earlier: &[Arrival]) {
        for identity in asked {
            self.recent.entry(*identity).or_insert(UNKNOWN);
        }
        for arrival in earlier {
            if asked.contains(&arrival.identity) {
                self.recollect_position(arrival);
            }
            for target in arrival.voids.iter().flatten().filter(|target| asked.contains(target)) {
                self.recent.entry(*target).or_insert(UNKNOWN).void = true;
            }
        }
    }

    fn recollect_position(&mut self, arrival: &Arrival) {
        let partition = self.partition_index(&arrival.position);
        let found = Entry { partition, offset: arrival.position.offset, ..UNKNOWN };
        let held = self.recent.get(&arrival.identity).copied().unwrap_or(UNKNOWN);
        if held.partition == NOT_SEEN || self.order(found) < self.order(held) {
            self.recent.insert(arrival.identity, Entry { void: held.void, ..found });
        }
    }

    fn holds(&self, identity: u128) -> bool {
        self.recent.contains_key(&identity) || self.older.contains_key(&identity)
    }

    fn entry(&self, identity: u128) -> Option<Entry> {
        self.recent.get(&identity).or_else(|| self.older.get(&identity)).copied()
    }

    fn hold(&mut self, identity: u128, entry: Entry) {
        self.known.note(identity);
        self.recent.insert(identity, entry);
    }

    /// Forgets what was held longest. What is held is not changed in between: a
    /// newer entry stands in `recent`, which is looked at first.
    fn make_room(&mut self) {
        if self.recent.len() > self.held_max / 2 {
            self.older = std::mem::take(&mut self.recent);
        }
    }

    /// Takes in a batch and says what counts. Nothing of it may be
    /// [`Identities::unsure`].
    pub fn resolve(&mut self, arrivals: &[Arrival]) -> Resolution {
        let mut out = Resolution { signs: Vec::with_capacity(arrivals.len()), ..Resolution::default() };
        let mut counted_here = AHashMap::new();
        for (row, arrival) in arrivals.iter().enumerate() {
            let Arrived { sign, displaced, seen } = self.arrive(arrival);
            out.copies += u64::from(seen);
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
        self.make_room();
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

    fn arrive(&mut self, arrival: &Arrival) -> Arrived {
        let partition = self.partition_index(&arrival.position);
        let new = Entry { partition, void: false, offset: arrival.position.offset };
        let old = self.entry(arrival.identity).unwrap_or(UNKNOWN);
        let seen = old.partition != NOT_SEEN;
        if seen && self.order(old) <= self.order(new) {
            return Arrived { sign: Sign::Touch, displaced: None, seen };
        }
        self.hold(arrival.identity, Entry { void: old.void, ..new });
        let (sign, displaced) = if old.void { (Sign::Touch, None) } else { (Sign::Count, seen.then_some(old)) };
        Arrived { sign, displaced, seen }
    }

    /// Marks an identity void; gives the entry that counted until now.
    fn make_void(&mut self, identity: u128) -> Option<Entry> {
        let entry = self.entry(identity).unwrap_or(UNKNOWN);
        self.hold(identity, Entry { void: true, ..entry });
        (!entry.void && entry.partition != NOT_SEEN).then_some(entry)
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
        let mut ids = Identities::new(100);
        assert_eq!(ids.resolve(&[at(1, 2, 5, None)]).signs, [Sign::Count]);
        assert_eq!(ids.resolve(&[at(1, 3, 1, None)]).signs, [Sign::Touch]);
        let third = ids.resolve(&[at(1, 0, 9, None)]);
        assert_eq!((third.signs.as_slice(), third.copies), ([Sign::Count].as_slice(), 1));
        assert_eq!(positions(&third), [(2, 5)]);
    }

    #[test]
    fn within_one_batch_nothing_is_recalled() {
        let mut ids = Identities::new(100);
        let out = ids.resolve(&[at(1, 1, 0, None), at(1, 0, 0, None), at(2, 0, 1, Some(1))]);
        assert_eq!(out.signs, [Sign::Touch, Sign::Touch, Sign::Count]);
        assert!(out.recall.is_empty());
    }

    #[test]
    fn a_retraction_is_remembered_until_its_target_comes() {
        let mut ids = Identities::new(100);
        assert_eq!(ids.resolve(&[at(2, 0, 0, Some(1))]).signs, [Sign::Count]);
        let target = ids.resolve(&[at(1, 0, 1, None)]);
        assert_eq!((target.signs.as_slice(), target.recall.len()), ([Sign::Touch].as_slice(), 0));
    }

    #[test]
    fn a_second_retraction_takes_nothing_more() {
        let mut ids = Identities::new(100);
        ids.resolve(&[at(1, 0, 0, None)]);
        assert_eq!(positions(&ids.resolve(&[at(2, 0, 1, Some(1))])), [(0, 0)]);
        assert!(ids.resolve(&[at(3, 0, 2, Some(1))]).recall.is_empty());
    }

    #[test]
    fn few_are_held_and_the_others_are_to_be_recollected() {
        let mut ids = Identities::new(10);
        let all: Vec<Arrival> = (0..100).map(|n| at(n << 90 | n, 1, n as i64, None)).collect();
        all.chunks(5).for_each(|batch| assert_eq!(ids.resolve(batch).signs, [Sign::Count; 5]));
        assert!(ids.len() <= 15, "{} held", ids.len());
        let copy = [Arrival { position: at(0, 0, 7, None).position, ..all[3].clone() }];
        let unsure = ids.unsure(&copy);
        assert_eq!(unsure.len(), 1);
        ids.recollect(&unsure, &all);
        assert!(ids.unsure(&copy).is_empty());
        let resolved = ids.resolve(&copy);
        assert_eq!((resolved.signs.as_slice(), positions(&resolved)), ([Sign::Count].as_slice(), vec![(1, 3)]));
    }

    #[test]
    fn an_identity_that_only_looks_known_counts_and_takes_nothing_back() {
        let mut ids = Identities::new(10);
        ids.recollect(&AHashSet::from([1]), &[at(2, 0, 0, None)]);
        let out = ids.resolve(&[at(1, 0, 1, None)]);
        assert_eq!((out.signs.as_slice(), out.recall.len()), ([Sign::Count].as_slice(), 0));
    }

    #[test]
    fn what_was_void_is_void_when_it_is_recollected() {
        let mut ids = Identities::new(0);
        let voiding = [at(2, 0, 0, Some(1))];
        ids.resolve(&voiding);
        ids.resolve(&[at(3, 0, 1, None)]);
        let late = [at(1, 0, 2, None)];
        let unsure = ids.unsure(&late);
        assert_eq!(unsure, AHashSet::from([1]));
        ids.recollect(&unsure, &voiding);
        assert_eq!(ids.resolve(&late).signs, [Sign::Touch]);
    }
}
