//! Which partitions have been read to their end, whoever in the group reads them.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::KafkaError;
use crate::config::{self, ANSWER_TIMEOUT, KafkaConfig};

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
}

impl PartitionEnds {
    /// A client of its own.
    ///
    /// # Errors
    /// When the client refuses its configuration.
    pub fn new(config: &KafkaConfig) -> Result<PartitionEnds, KafkaError> {
        let mut client = config::consumer(config)?;
        client.set("statistics.interval.ms", "0");
        Ok(PartitionEnds { consumer: client.create()?, topics: config.topics.clone() })
    }

    /// Every partition of the topics. Blocks.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn fetch(&self) -> Result<Vec<PartitionEnd>, KafkaError> {
        let mut all = Vec::new();
        for topic in &self.topics {
            let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
            let mut asked = TopicPartitionList::new();
            for partition in metadata.topics().iter().flat_map(|of| of.partitions()) {
                asked.add_partition(topic, partition.id());
            }
            let committed = self.consumer.committed_offsets(asked, ANSWER_TIMEOUT)?;
            for element in committed.elements() {
                let (low, high) = self.consumer.fetch_watermarks(topic, element.partition(), ANSWER_TIMEOUT)?;
                let position = element.offset().to_raw().filter(|offset| *offset >= 0).unwrap_or(low);
                let partition = element.partition();
                all.push(PartitionEnd { topic: topic.clone(), partition, at_end: position >= high });
            }
        }
        Ok(all)
    }
}
