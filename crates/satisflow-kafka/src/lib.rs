//! The Kafka client: the only crate that knows librdkafka.
//!
//! - Positions come from the lake, never from Kafka's committed offsets: they
//!   are asked for when a partition is assigned.
//! - One thread polls. It hands batches over a bounded channel and pauses the
//!   partitions when too many bytes are on their way.
//! - A revocation waits until the owner has flushed what it holds, but not for ever.

mod batch;
mod config;
mod context;
mod embedded;
mod ends;
mod event;
mod gap;
mod lost;
mod partition;
mod producer;
mod same;
mod source;

pub use batch::PolledBatch;
pub use config::{KafkaConfig, OnLostOffsets};
pub use embedded::EmbeddedBroker;
pub use ends::{PartitionEnd, PartitionEnds};
pub use event::SourceEvent;
pub use partition::{LastRecord, PartitionProgress, PositionSource};
pub use producer::{Delivered, Producer, ensure_topic};
pub use source::{KafkaSource, SourceLoad};

/// The Kafka client failed.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// A property that the service sets itself.
    #[error("`kafka.properties.{0}` is set by the service itself: remove it")]
    OwnedProperty(String),
    /// The client refuses its configuration.
    #[error("Kafka client: {0}")]
    Client(#[from] rdkafka::error::KafkaError),
    /// A topic could not be created.
    #[error("topic `{topic}` can't be created: {reason}")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// Records were not delivered.
    #[error("{count} records were not delivered to `{topic}`: {reason}")]
    Undelivered {
        /// The topic.
        topic: String,
        /// How many.
        count: usize,
        /// The first reason.
        reason: String,
    },
    /// A topic was deleted and created again.
    #[error("{0}")]
    AnotherTopic(String),
    /// The positions of partitions can't be had.
    #[error("positions can't be read: {0}")]
    Positions(String),
    /// The poll thread can't be started.
    #[error("the poll thread can't be started: {0}")]
    Thread(std::io::Error),
}
