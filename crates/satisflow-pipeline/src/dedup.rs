//! Duplicates within a partition: the first by offset is accepted, the same
//! again is a duplicate, the same id with other content a conflict.

use std::collections::BTreeMap;

use ahash::AHashMap;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use satisflow_lake::Lake;

use crate::error::PipelineError;

/// What an event is within its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    First,
    Same,
    Conflict,
}

/// Ids that each partition has accepted, with the hash of their content.
#[derive(Debug, Default)]
pub(crate) struct Dedup {
    partitions: BTreeMap<(String, i32), AHashMap<u128, u64>>,
}

impl Dedup {
    /// Takes in what the lake holds of a partition.
    pub(crate) async fn load(&mut self, lake: &Lake, topic: &str, partition: i32) -> Result<(), PipelineError> {
        let mut ids = AHashMap::new();
        let mut stream = lake.accepted_ids(topic, partition).await?;
        while let Some(batch) = stream.try_next().await? {
            add_ids(&mut ids, &batch);
        }
        self.partitions.insert((topic.to_owned(), partition), ids);
        Ok(())
    }

    pub(crate) fn forget(&mut self, topic: &str, partition: i32) {
        self.partitions.remove(&(topic.to_owned(), partition));
    }

    pub(crate) fn see(&mut self, key: &(String, i32), identity: u128, content: u64) -> Seen {
        let ids = match self.partitions.get_mut(key) {
            Some(ids) => ids,
            None => self.partitions.entry(key.clone()).or_default(),
        };
        match ids.get(&identity) {
            None => {
                ids.insert(identity, content);
                Seen::First
            }
            Some(known) if *known == content => Seen::Same,
            Some(_) => Seen::Conflict,
        }
    }
}

fn add_ids(ids: &mut AHashMap<u128, u64>, batch: &RecordBatch) {
    let source = batch["source"].as_string::<i32>();
    let event_id = batch["event_id"].as_string::<i32>();
    let content = batch["content_hash"].as_primitive::<Int64Type>();
    for row in 0..batch.num_rows() {
        let identity = satisflow_model::identity(source.value(row), event_id.value(row));
        ids.insert(identity, content.value(row).cast_unsigned());
    }
}
