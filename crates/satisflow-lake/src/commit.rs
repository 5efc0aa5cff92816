//! Commits of rows with what guards them.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use deltalake_core::DeltaTable;

use crate::error::CommitError;
use crate::lake::{Lake, Positions, position_id};
use crate::table::{Commit, Table};

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

/// Rows of `kpis`, and the transactions that they move.
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
        let transactions = commit.to.iter().map(|((t, p), offset)| (position_id(t, *p), *offset)).collect();
        let from = &commit.from;
        let check = async |table: &Table, state: &DeltaTable| check_positions(table, state, from).await;
        let inner = Commit { id: commit.commit_id.clone(), batches: commit.batches, transactions };
        let (version, state) = self.records.commit(inner, check).await?;
        self.live_records().committed(&commit.commit_id, &state)?;
        Ok(version)
    }

    /// Commits KPI rows; gives the version.
    ///
    /// # Errors
    /// [`CommitError`]; nothing is in the lake then.
    pub async fn commit_kpis(&self, commit: KpisCommit) -> Result<u64, CommitError> {
        let expect = &commit.expect;
        let check = async |table: &Table, state: &DeltaTable| check_fence(table, state, expect).await;
        let inner = Commit { id: commit.commit_id, batches: commit.batches, transactions: commit.transactions };
        let (version, state) = self.kpis.commit(inner, check).await?;
        self.kpis_provider().refresh(&state)?;
        Ok(version)
    }
}

/// Counts the rows anew: they must be the records that were polled, in range.
fn check_rows(commit: &RecordsCommit) -> Result<(), CommitError> {
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
    for key in commit.to.keys().chain(rows.keys()) {
        let rows = rows.get(key).copied().unwrap_or(0);
        let counted = commit.counted.get(key).copied().unwrap_or(0);
        if rows != counted {
            let (topic, partition) = key.clone();
            return Err(CommitError::CountMismatch { topic, partition, counted, rows });
        }
    }
    Ok(())
}

async fn check_positions(table: &Table, state: &DeltaTable, from: &Positions) -> Result<(), CommitError> {
    for ((topic, partition), expected) in from {
        let found = table.transaction(state, &position_id(topic, *partition)).await?;
        // A partition that never was committed may start anywhere.
        if found.is_some_and(|found| found != *expected) {
            let (topic, partition, expected) = (topic.clone(), *partition, *expected);
            return Err(CommitError::PositionMoved { topic, partition, expected, found });
        }
    }
    Ok(())
}

async fn check_fence(
    table: &Table,
    state: &DeltaTable,
    expect: &BTreeMap<String, Option<i64>>,
) -> Result<(), CommitError> {
    for (id, expected) in expect {
        let found = table.transaction(state, id).await?;
        if found != *expected {
            return Err(CommitError::Fenced { id: id.clone(), expected: *expected, found });
        }
    }
    Ok(())
}
