//! Duplicates within a partition: the first by offset is accepted, the same
//! again is a duplicate, the same id with other content a conflict.
//!
//! Memory holds the newest ids exactly and the older ones in a filter. An id that
//! only the filter knows is asked of the lake before its batch is decided, so that
//! a bounded memory costs questions and never an answer.

use std::collections::{BTreeMap, BTreeSet};

use ahash::AHashMap;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use satisflow_kpi::IdFilter;
use satisflow_lake::Lake;

use crate::error::PipelineError;
use crate::metrics::PipelineMetrics;

/// Ids asked of the lake in one query.
const QUESTION_IDS_MAX: usize = 5_000;

type Key = (String, i32);
/// Accepted ids, with the hash of their content.
type Ids = AHashMap<u128, u64>;
/// Event ids to ask the lake for, by partition.
pub(crate) type Questions = BTreeMap<Key, BTreeSet<String>>;

/// What an event is within its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    First,
    Same,
    Conflict,
}

/// The ids that each partition has accepted.
#[derive(Debug)]
pub(crate) struct Dedup {
    partitions: BTreeMap<Key, Partition>,
    /// Committed ids held exactly, of all partitions.
    identities_max: usize,
    metrics: PipelineMetrics,
}

#[derive(Debug, Default)]
struct Partition {
    /// Not in the lake yet: they can't be asked for.
    pending: Ids,
    recent: Ids,
    older: Ids,
    /// Every other accepted id.
    beyond: IdFilter,
    /// The lake's answers for the batch at hand.
    answers: Ids,
}

impl Dedup {
    pub(crate) fn new(identities_max: usize, metrics: PipelineMetrics) -> Dedup {
        Dedup { partitions: BTreeMap::new(), identities_max, metrics }
    }

    /// Takes in what the lake holds of a partition whose next offset is `next`.
    pub(crate) async fn load(
        &mut self,
        lake: &Lake,
        topic: &str,
        partition: i32,
        next: i64,
    ) -> Result<(), PipelineError> {
        let key = (topic.to_owned(), partition);
        self.partitions.insert(key.clone(), Partition::default());
        let share = self.share();
        let newest = next.saturating_sub(i64::try_from(share).unwrap_or(i64::MAX));
        let mut loaded = Partition::default();
        let mut stream = lake.accepted_ids(topic, partition).await?;
        while let Some(batch) = stream.try_next().await? {
            for row in rows(&batch) {
                if row.offset >= newest {
                    loaded.recent.insert(row.identity, row.content);
                } else {
                    loaded.beyond.insert(row.identity);
                }
            }
        }
        self.partitions.insert(key, loaded);
        self.make_room();
        Ok(())
    }

    pub(crate) fn forget(&mut self, topic: &str, partition: i32) {
        self.partitions.remove(&(topic.to_owned(), partition));
    }

    /// Whether the lake need not be asked for anything.
    pub(crate) fn holds_every_id(&self) -> bool {
        self.partitions.values().all(|ids| ids.beyond.is_empty())
    }

    /// Whether only the lake can tell what an id is.
    pub(crate) fn must_ask(&self, key: &Key, identity: u128) -> bool {
        self.partitions.get(key).is_some_and(|ids| ids.held(identity).is_none() && ids.beyond.may_contain(identity))
    }

    /// Asks the lake, for the batch at hand.
    pub(crate) async fn ask(&mut self, lake: &Lake, questions: Questions) -> Result<(), PipelineError> {
        self.partitions.values_mut().for_each(|ids| ids.answers.clear());
        for (key, event_ids) in questions {
            self.metrics.dedup_asked.inc_by(event_ids.len() as u64);
            let Some(ids) = self.partitions.get_mut(&key) else { continue };
            let event_ids: Vec<String> = event_ids.into_iter().collect();
            for chunk in event_ids.chunks(QUESTION_IDS_MAX) {
                let mut stream = lake.accepted_with_ids(&key.0, key.1, chunk).await?;
                while let Some(batch) = stream.try_next().await? {
                    ids.answers.extend(rows(&batch).map(|row| (row.identity, row.content)));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn see(&mut self, key: &Key, identity: u128, content: u64) -> Seen {
        let ids = match self.partitions.get_mut(key) {
            Some(ids) => ids,
            None => self.partitions.entry(key.clone()).or_default(),
        };
        match ids.held(identity).or_else(|| ids.answers.get(&identity).copied()) {
            None => {
                ids.pending.insert(identity, content);
                Seen::First
            }
            Some(known) if known == content => Seen::Same,
            Some(_) => Seen::Conflict,
        }
    }

    /// What was seen so far is in the lake.
    pub(crate) fn settle(&mut self) {
        for ids in self.partitions.values_mut() {
            let pending = std::mem::take(&mut ids.pending);
            ids.recent.extend(pending);
        }
        self.make_room();
    }

    fn share(&self) -> usize {
        (self.identities_max / self.partitions.len().max(1)).max(1)
    }

    fn make_room(&mut self) {
        let share = self.share();
        self.partitions.values_mut().for_each(|ids| ids.make_room(share));
        let ids: usize = self.partitions.values().map(|ids| ids.recent.len() + ids.older.len()).sum();
        let bytes: usize = self.partitions.values().map(|ids| ids.beyond.bytes()).sum();
        self.metrics.dedup_ids.set(i64::try_from(ids).unwrap_or(i64::MAX));
        self.metrics.dedup_filter_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

impl Partition {
    fn held(&self, identity: u128) -> Option<u64> {
        [&self.pending, &self.recent, &self.older].into_iter().find_map(|ids| ids.get(&identity).copied())
    }

    /// Leaves at most `share` ids that are held exactly and committed.
    fn make_room(&mut self, share: usize) {
        if self.recent.len() >= share.div_ceil(2) {
            self.leave_older();
            self.older = std::mem::take(&mut self.recent);
        }
        if self.recent.len() + self.older.len() > share {
            self.leave_older();
        }
    }

    fn leave_older(&mut self) {
        std::mem::take(&mut self.older).into_keys().for_each(|identity| self.beyond.insert(identity));
    }
}

struct Row {
    identity: u128,
    content: u64,
    offset: i64,
}

/// Rows of [`Lake::accepted_ids`].
fn rows(batch: &RecordBatch) -> impl Iterator<Item = Row> {
    let source = batch["source"].as_string::<i32>();
    let event_id = batch["event_id"].as_string::<i32>();
    let content = batch["content_hash"].as_primitive::<Int64Type>();
    let offset = batch["offset"].as_primitive::<Int64Type>();
    (0..batch.num_rows()).map(move |row| Row {
        identity: satisflow_model::identity(source.value(row), event_id.value(row)),
        content: content.value(row).cast_unsigned(),
        offset: offset.value(row),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        ("t".to_owned(), 0)
    }

    fn dedup(identities_max: usize) -> Dedup {
        Dedup::new(identities_max, PipelineMetrics::new(&prometheus::Registry::new()).unwrap())
    }

    #[test]
    fn ids_beyond_the_limit_are_asked_for_and_the_others_are_not() {
        let mut dedup = dedup(4);
        for identity in 0..100u128 {
            let identity = identity << 90 | identity;
            dedup.see(&key(), identity, 1);
            dedup.settle();
        }
        let held = (0..100u128).filter(|id| !dedup.must_ask(&key(), id << 90 | id)).count();
        assert!((2..=4).contains(&held), "{held}");
        assert_eq!(dedup.metrics.dedup_ids.get(), i64::try_from(held).unwrap());
        assert_eq!(dedup.see(&key(), 99 << 90 | 99, 1), Seen::Same);
        assert_eq!(dedup.see(&key(), 99 << 90 | 99, 2), Seen::Conflict);
    }

    #[test]
    fn ids_that_are_not_in_the_lake_yet_are_never_asked_of_it() {
        let mut dedup = dedup(1);
        (0..100u128).for_each(|identity| assert_eq!(dedup.see(&key(), identity, 1), Seen::First));
        dedup.make_room();
        assert!((0..100).all(|identity| !dedup.must_ask(&key(), identity)));
        dedup.settle();
        assert!((0..100).all(|identity| dedup.must_ask(&key(), identity)));
    }
}
