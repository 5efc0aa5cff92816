//! Which partitions have been read to their end, whoever in the group reads them,
//! and whether they are still the ones that were read.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::KafkaError;
use crate::config::{self, ANSWER_TIMEOUT, KafkaConfig};
use crate::partition::{Partition, PositionSource};
use crate::same::{self, Found};

/// What the broker says of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionEnd {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Whether the group's committed offset is the partition's end.
    pub at_end: bool,
}

/// Asks the broker; belongs to no group's members.
pub struct PartitionEnds {
    consumer: BaseConsumer,
    topics: Vec<String>,
    positions: Arc<dyn PositionSource>,
    /// The farthest end of each partition that was seen, and whether it has gone back since.
    seen: BTreeMap<Partition, (i64, bool)>,
}

impl PartitionEnds {
    /// A client of its own.
    ///
    /// # Errors
    /// When the client refuses its configuration.
    pub fn new(config: &KafkaConfig, positions: Arc<dyn PositionSource>) -> Result<PartitionEnds, KafkaError> {
        let (consumer, topics) = (config::probe(config)?, config.topics.clone());
        Ok(PartitionEnds { consumer, topics, positions, seen: BTreeMap::new() })
    }

    /// Every partition of the topics. Blocks.
    ///
    /// # Errors
    /// When the broker does not answer; [`KafkaError::AnotherTopic`] when a topic
    /// was deleted and created again.
    pub fn fetch(&mut self) -> Result<Vec<PartitionEnd>, KafkaError> {
        let mut all = Vec::new();
        for topic in &self.topics.clone() {
            let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
            if metadata.topics().iter().all(|of| of.partitions().is_empty()) {
                // It is gone; one that comes back under its name may be longer.
                self.seen.iter_mut().filter(|(key, _)| key.0 == *topic).for_each(|(_, seen)| seen.1 = true);
                continue;
            }
            let mut asked = TopicPartitionList::new();
            for partition in metadata.topics().iter().flat_map(|of| of.partitions()) {
                asked.add_partition(topic, partition.id());
            }
            let committed = self.consumer.committed_offsets(asked, ANSWER_TIMEOUT)?;
            for element in committed.elements() {
                let (low, high) = self.consumer.fetch_watermarks(topic, element.partition(), ANSWER_TIMEOUT)?;
                self.watch(&(topic.clone(), element.partition()), low, high)?;
                let position = element.offset().to_raw().filter(|offset| *offset >= 0).unwrap_or(low);
                let partition = element.partition();
                all.push(PartitionEnd { topic: topic.clone(), partition, at_end: position >= high });
            }
        }
        Ok(all)
    }

    /// The end of a topic goes back only when it is another topic, or for a moment
    /// when a broker starts again: from then on it is in doubt until what was read
    /// last is found in its place.
    fn watch(&mut self, key: &Partition, low: i64, high: i64) -> Result<(), KafkaError> {
        let (end, in_doubt) = self.seen.get(key).copied().unwrap_or((high, false));
        let in_doubt = in_doubt || high < end;
        self.seen.insert(key.clone(), (end.max(high), in_doubt));
        if !in_doubt {
            return Ok(());
        }
        let position = self.positions.position(&key.0, key.1).map_err(KafkaError::Positions)?;
        let last = position.map(|position| self.positions.last_record(&key.0, key.1, position)).transpose();
        let last = last.map_err(KafkaError::Positions)?.flatten();
        let Some(last) = last.filter(|last| last.offset >= low) else { return Ok(()) };
        match same::compare(&self.consumer, key, last)? {
            Found::Same => self.seen.insert(key.clone(), (high, false)),
            Found::Other(now_ms) => return Err(KafkaError::AnotherTopic(same::is_another(key, last, now_ms))),
            Found::Nothing => None,
        };
        Ok(())
    }
}
