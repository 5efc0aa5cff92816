//! Partitions, and where they stand.

/// Topic and partition.
pub(crate) type Partition = (String, i32);

/// The last record that was taken of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRecord {
    /// Its offset.
    pub offset: i64,
    /// Kafka's timestamp of it, ms since the epoch.
    pub timestamp_ms: i64,
}

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Next offset to hand over.
    pub position: i64,
    /// End of the partition at the broker; -1 while unknown, or while reading stands still.
    pub end: i64,
    /// Whether the position is the end.
    pub at_end: bool,
}

/// Where partitions are to be read from.
pub trait PositionSource: Send + Sync {
    /// Next offset to read; `None` for a partition that was never read.
    ///
    /// # Errors
    /// A message when it can't be told; the partition is not read then.
    fn position(&self, topic: &str, partition: i32) -> Result<Option<i64>, String>;

    /// The last record before a position, to know a topic again by; `None` when there is none.
    ///
    /// # Errors
    /// A message when it can't be told; the partition is not read then.
    fn last_record(&self, _topic: &str, _partition: i32, _position: i64) -> Result<Option<LastRecord>, String> {
        Ok(None)
    }
}
