//! Commits of rows with what guards them.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};

use crate::error::CommitError;
use crate::failpoints::pace;
use crate::lake::Lake;
use crate::position::{Positions, position_id};
use crate::table::{Commit, Guard};

/// Rows of `records`, and the positions that they move.
#[derive(Debug, Clone)]
pub struct RecordsCommit {
    /// Distinct for each commit; found in the log, it means success.
    pub commit_id: String,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Where the rows of each partition start.
    pub from: Positions,
    /// Next offset to read of each partition.
    pub to: Positions,
    /// Records of each partition as counted at the poll.
    pub counted: BTreeMap<(String, i32), u64>,
}

/// Rows of `kpis` or `alerts`, and the transactions that they move.
#[derive(Debug, Clone, Default)]
pub struct KpisCommit {
    /// Distinct for each commit.
    pub commit_id: String,
    /// The rows; may be none.
    pub batches: Vec<RecordBatch>,
    /// Transactions and their new values.
    pub transactions: BTreeMap<String, i64>,
    /// Transactions and the values they must have.
    pub expect: BTreeMap<String, Option<i64>>,
}

impl Lake {
    /// Commits records; gives the version.
    ///
    /// # Errors
    /// [`CommitError`]; nothing is in the lake then.
    pub async fn commit_records(&self, commit: RecordsCommit) -> Result<u64, CommitError> {
        check_rows(&commit)?;
        pace().await;
        let transactions = commit.to.iter().map(|((t, p), offset)| (position_id(t, *p), *offset)).collect();
        let guard = Guard { positions: commit.from, ..Guard::default() };
        let inner = Commit { id: commit.commit_id.clone(), batches: commit.batches, transactions, guard };
        let (version, state) = self.records.commit(inner).await?;
        self.live_records().committed(&commit.commit_id, &state);
        Ok(version)
    }

    /// Commits KPI rows; gives the version.
    ///
    /// # Errors
    /// [`CommitError`]; nothing is in the lake then.
    pub async fn commit_kpis(&self, commit: KpisCommit) -> Result<u64, CommitError> {
        let guard = Guard { transactions: commit.expect, ..Guard::default() };
        let transactions = commit.transactions;
        let inner = Commit { id: commit.commit_id, batches: commit.batches, transactions, guard };
        let (version, state) = self.kpis.commit(inner).await?;
        if let Err(error) = self.kpis_provider().refresh(&state) {
            // The rows are in the lake; the next refresh shows them.
            tracing::warn!(%error, version, "the view of `kpis` stays at an older version for now");
        }
        Ok(version)
    }
}

/// Counts the rows anew: they must be the records that were polled, in range.
fn check_rows(commit: &RecordsCommit) -> Result<(), CommitError> {
    for (topic, partition) in commit.to.keys().chain(commit.counted.keys()) {
        if !commit.from.contains_key(&(topic.clone(), *partition)) {
            return Err(CommitError::StartMissing { topic: topic.clone(), partition: *partition });
        }
    }
    let mut rows: BTreeMap<(String, i32), u64> = BTreeMap::new();
    for batch in &commit.batches {
        let topic = batch["topic"].as_string::<i32>();
        let partition = batch["partition"].as_primitive::<Int32Type>();
        let offset = batch["offset"].as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let key = (topic.value(row).to_owned(), partition.value(row));
            let from = commit.from.get(&key).copied().unwrap_or(i64::MAX);
            let to = commit.to.get(&key).copied().unwrap_or(i64::MIN);
            if !(from..to).contains(&offset.value(row)) {
                return Err(CommitError::OffsetOutside { topic: key.0, partition: key.1, offset: offset.value(row) });
            }
            *rows.entry(key).or_default() += 1;
        }
    }
    for key in commit.to.keys().chain(rows.keys()).chain(commit.counted.keys()) {
        let rows = rows.get(key).copied().unwrap_or(0);
        let counted = commit.counted.get(key).copied().unwrap_or(0);
        if rows != counted {
            let (topic, partition) = key.clone();
            return Err(CommitError::CountMismatch { topic, partition, counted, rows });
        }
    }
    Ok(())
}
