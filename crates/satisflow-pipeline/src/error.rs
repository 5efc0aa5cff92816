//! Why the pipeline stops.

use satisflow_catalog::EvaluateError;
use satisflow_kafka::KafkaError;
use satisflow_kpi::{EngineError, SnapshotError};
use satisflow_lake::{CommitError, LakeError};

/// The pipeline can't go on. What was accepted and is not committed is read
/// again from Kafka at the next start.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A commit was refused.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Another process has taken over publishing; this one stands by.
    #[error("another process publishes the KPIs now")]
    Superseded,
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine's state can't be written.
    #[error("snapshot: {0}")]
    Snapshot(#[from] SnapshotError),
    /// An expression of the catalog failed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The Kafka client failed.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// Reading rows failed.
    #[error("reading the lake: {0}")]
    Read(#[from] datafusion::error::DataFusionError),
    /// Arrow refused a batch.
    #[error("building rows: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A file can't be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what its name has stood for.
    #[error(
        "{path}: {what}. Files of one name are one topic, `{topic}`, that only grows: give a file of other \
         events another name"
    )]
    AnotherFile {
        /// The file.
        path: String,
        /// The topic of its name.
        topic: String,
        /// What shows it.
        what: String,
    },
    /// A line of a file is too long for a record.
    #[error("{path}: line {line} has more than {bytes_max} bytes: a line holds one JSON object")]
    LineTooLong {
        /// The file.
        path: String,
        /// The line, from 1.
        line: i64,
        /// Most bytes of a line.
        bytes_max: u64,
    },
    /// Kafka says that reading can't go on.
    #[error("{0}")]
    Source(String),
    /// A task has ended too early.
    #[error("the task `{0}` has ended unexpectedly")]
    Task(&'static str),
    /// A metric can't be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
