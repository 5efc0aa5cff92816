//! Positions of partitions, and the transactions that carry them.

use std::collections::BTreeMap;

/// (topic, partition) to the next offset to read.
pub type Positions = BTreeMap<(String, i32), i64>;

/// Name of the transaction that carries a partition's position.
pub fn position_id(topic: &str, partition: i32) -> String {
    format!("satisflow/position/{topic}/{partition}")
}
