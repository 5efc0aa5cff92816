//! Settings of the client.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;

use crate::KafkaError;

/// How long the broker may take for one answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The same trouble is told this often.
pub(crate) const REPEAT_WARNING: Duration = Duration::from_secs(10);

/// What to do when retention has removed records that were not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLostOffsets {
    /// Stop and explain.
    #[default]
    Stop,
    /// Go on with the earliest record and note the gap as a reject.
    Resume,
}

/// How to reach Kafka, and how much to hold.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// Consumer group.
    pub group_id: String,
    /// Topics to read.
    pub topics: Vec<String>,
    /// Properties of librdkafka: TLS, SASL, and whatever else is not set here.
    pub properties: BTreeMap<String, String>,
    /// What to do about removed records.
    pub on_lost_offsets: OnLostOffsets,
    /// Bytes polled and not yet taken, at most; beyond, partitions are paused.
    pub buffer_bytes_max: usize,
    /// Rows of one batch, at most.
    pub batch_rows_max: usize,
    /// How long a batch is gathered, at most.
    pub batch_wait: Duration,
    /// How long a revocation waits for the flush.
    pub revoke_timeout: Duration,
}

/// Properties may hold passwords: their names are shown, their values never.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("group_id", &self.group_id)
            .field("topics", &self.topics)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("on_lost_offsets", &self.on_lost_offsets)
            .field("buffer_bytes_max", &self.buffer_bytes_max)
            .finish_non_exhaustive()
    }
}

impl KafkaConfig {
    /// Settings with every limit at its default.
    pub fn new(brokers: &str, group_id: &str, topics: Vec<String>) -> KafkaConfig {
        KafkaConfig {
            brokers: brokers.to_owned(),
            group_id: group_id.to_owned(),
            topics,
            properties: BTreeMap::new(),
            on_lost_offsets: OnLostOffsets::Stop,
            buffer_bytes_max: 64 << 20,
            batch_rows_max: 8192,
            batch_wait: Duration::from_millis(20),
            revoke_timeout: Duration::from_secs(20),
        }
    }
}

/// Properties that carry the promises made elsewhere.
const OWNED: &[&str] = &[
    "bootstrap.servers",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "isolation.level",
    "partition.assignment.strategy",
    "enable.partition.eof",
    "statistics.interval.ms",
];

/// A client's common part.
pub(crate) fn client(brokers: &str, properties: &BTreeMap<String, String>) -> Result<ClientConfig, KafkaError> {
    let mut config = ClientConfig::new();
    config.set("client.id", "satisflow").set("log.connection.close", "false");
    for (name, value) in properties {
        if OWNED.contains(&name.as_str()) {
            return Err(KafkaError::OwnedProperty(name.clone()));
        }
        config.set(name, value);
    }
    config.set("bootstrap.servers", brokers);
    Ok(config)
}

/// A client that belongs to no group and reads when it is told to.
pub(crate) fn probe(config: &KafkaConfig) -> Result<BaseConsumer, KafkaError> {
    let mut client = consumer(config)?;
    client.set("statistics.interval.ms", "0");
    Ok(client.create()?)
}

pub(crate) fn consumer(config: &KafkaConfig) -> Result<ClientConfig, KafkaError> {
    let mut client = client(&config.brokers, &config.properties)?;
    client
        .set("group.id", &config.group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.partition.eof", "true")
        .set("statistics.interval.ms", "500");
    for (name, value) in [("queued.max.messages.kbytes", "32768"), ("fetch.wait.max.ms", "50")] {
        if !config.properties.contains_key(name) {
            client.set(name, value);
        }
    }
    Ok(client)
}
