//! What the poll thread tells.

use crate::batch::PolledBatch;
use crate::partition::PartitionProgress;

/// What the poll thread tells.
#[derive(Debug)]
pub enum SourceEvent {
    /// Records.
    Batch(PolledBatch),
    /// Partitions are read from now on.
    Assigned(Vec<(String, i32)>),
    /// Partitions are taken away: flush, then send on `done`.
    Revoked {
        /// The partitions.
        partitions: Vec<(String, i32)>,
        /// To be sent to when all their records are committed.
        done: std::sync::mpsc::Sender<()>,
    },
    /// Where partitions stand.
    Progress(Vec<PartitionProgress>),
    /// Records `from..to` were removed before they were read.
    Gap {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// First offset that is gone.
        from: i64,
        /// Where reading goes on.
        to: i64,
    },
    /// The service can't go on with this partition, and says why.
    Failed(String),
}
