//! Rejects that became events: rows of `records` that change their outcome.
//!
//! One commit removes the files that held the rejects, and adds their other
//! rows and the accepted ones in files of their own. Each record thus keeps
//! exactly one row, no position moves, and those who tail the log see the
//! accepted rows as new data.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use deltalake_core::kernel::{Action, Remove};
use deltalake_core::protocol::DeltaOperation;

use crate::error::{CommitError, LakeError};
use crate::lake::Lake;
use crate::read::DataFile;
use crate::table::Replaced;

const REJECTED: &str = "rejected";

/// A file of rejects at one version of `records`.
#[derive(Debug, Clone)]
pub struct RejectFile {
    file: DataFile,
    remove: Remove,
}

impl RejectFile {
    /// UTC month in which its records were taken in: `2026-11`.
    pub fn month(&self) -> &str {
        &self.file.event_month
    }
}

/// What becomes of the rows of some files.
#[derive(Debug, Clone)]
pub struct RejectsCommit {
    /// Distinct for each commit; found in the log, it means success.
    pub commit_id: String,
    /// The files, which are removed.
    pub files: Vec<RejectFile>,
    /// Rows read from them.
    pub rows: usize,
    /// Those that are events now.
    pub accepted: Vec<RecordBatch>,
    /// Those that stay rejects.
    pub kept: Vec<RecordBatch>,
}

/// Files that are written and not yet part of the lake.
#[derive(Debug)]
pub struct WrittenRejects {
    commit_id: String,
    actions: Vec<Action>,
    removed: BTreeSet<String>,
}

impl Lake {
    /// The files that hold rejects, and the version that says so.
    ///
    /// # Errors
    /// When the log can't be read, or a file is not as this program writes it.
    pub async fn reject_files(&self) -> Result<(u64, Vec<RejectFile>), LakeError> {
        let table = self.records.refreshed().await?;
        let snapshot = table.snapshot().map_err(LakeError::delta("records"))?;
        let mut files = Vec::new();
        for view in snapshot.log_data() {
            let values = view.partition_values_map();
            let value = |name: &str| values.get(name).cloned().flatten().unwrap_or_default();
            if value("outcome") != REJECTED {
                continue;
            }
            if view.deletion_vector_descriptor().is_some() {
                let message = format!("{} has a deletion vector, which this program does not write", view.path());
                return Err(LakeError::Read { table: "records", message });
            }
            let file = DataFile {
                path: view.path().into_owned(),
                outcome: REJECTED.to_owned(),
                event_month: value("event_month"),
            };
            files.push(RejectFile { file, remove: view.remove_action(true) });
        }
        files.sort_by(|a, b| a.file.path.cmp(&b.file.path));
        Ok((table.version().unwrap_or(0), files))
    }

    /// The rows of a file of rejects.
    ///
    /// # Errors
    /// When it can't be read, as after a vacuum.
    pub async fn read_rejects(&self, file: &RejectFile) -> Result<Vec<RecordBatch>, LakeError> {
        let table = self.records.current().await;
        let schema = table.snapshot().map_err(LakeError::delta("records"))?.snapshot().arrow_schema();
        file.file.read(&table, &schema).await
    }

    /// Writes the files of a commit; nobody sees them yet.
    ///
    /// # Errors
    /// When rows would be lost or doubled, or files can't be written.
    pub async fn write_rejects(&self, commit: RejectsCommit) -> Result<WrittenRejects, CommitError> {
        let count = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        let (accepted, kept) = (count(&commit.accepted), count(&commit.kept));
        if accepted + kept != commit.rows {
            return Err(CommitError::RowsDiffer { rows: commit.rows, accepted, kept });
        }
        let removed = commit.files.iter().map(|file| file.remove.path.clone()).collect();
        let mut actions: Vec<Action> = commit.files.into_iter().map(|file| Action::Remove(file.remove)).collect();
        actions.extend(self.records.write(&[commit.accepted, commit.kept].concat()).await?);
        Ok(WrittenRejects { commit_id: commit.commit_id, actions, removed })
    }

    /// Commits written files as the successor of exactly the version `base`.
    ///
    /// # Errors
    /// [`CommitError`]; nothing is in the lake then.
    pub async fn commit_rejects(&self, written: &WrittenRejects, base: u64) -> Result<Replaced, CommitError> {
        let operation = DeltaOperation::Update { predicate: Some("rejects that are events now".to_owned()) };
        let WrittenRejects { commit_id, actions, removed } = written;
        let replaced = self.records.replace(commit_id, actions, removed, base, operation).await?;
        if let Replaced::Committed(_) = replaced {
            self.refresh().await?;
        }
        Ok(replaced)
    }
}
