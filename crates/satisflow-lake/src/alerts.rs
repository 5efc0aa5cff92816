//! The table `alerts`: changes of alerts, and how far rows of `kpis` are decided.

use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::{col, lit};
use deltalake_core::DeltaTable;

use crate::commit::KpisCommit;
use crate::error::{CommitError, LakeError};
use crate::lake::Lake;
use crate::read::read;
use crate::table::{Commit, Guard, Table, transaction};

const NAME: &str = "alerts";

/// One version of `alerts`: its rows, and what its transactions say of them.
#[derive(Debug)]
pub struct AlertsView {
    table: DeltaTable,
}

impl Lake {
    fn alerts_table(&self) -> Result<&Table, LakeError> {
        let missing = || LakeError::Read { table: NAME, message: "the lake has no such table yet".to_owned() };
        self.alerts.as_ref().ok_or_else(missing)
    }

    /// `alerts` at its newest version.
    ///
    /// # Errors
    /// When the lake has none, or its log can't be read.
    pub async fn alerts(&self) -> Result<AlertsView, LakeError> {
        Ok(AlertsView { table: self.alerts_table()?.refreshed().await? })
    }

    /// Commits rows of `alerts`; gives the version.
    ///
    /// # Errors
    /// [`CommitError`]; nothing is in the lake then.
    pub async fn commit_alerts(&self, commit: KpisCommit) -> Result<u64, CommitError> {
        let guard = Guard { transactions: commit.expect, ..Guard::default() };
        let (id, batches, transactions) = (commit.commit_id, commit.batches, commit.transactions);
        let (version, state) = self.alerts_table()?.commit(Commit { id, batches, transactions, guard }).await?;
        if let Some(Err(error)) = self.alerts_provider().map(|latest| latest.refresh(&state)) {
            // The rows are in the lake; the next refresh shows them.
            tracing::warn!(%error, version, "the view of `alerts` stays at an older version for now");
        }
        Ok(version)
    }
}

impl AlertsView {
    /// A transaction of `alerts`.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn transaction(&self, id: &str) -> Result<Option<i64>, LakeError> {
        transaction(NAME, &self.table, id).await
    }

    /// All rows, in no order.
    ///
    /// # Errors
    /// When files can't be read.
    pub async fn rows(&self) -> Result<SendableRecordBatchStream, LakeError> {
        read(&self.table, NAME, None, &[]).await
    }

    /// Rows behind one of the table, in no order.
    ///
    /// # Errors
    /// When files can't be read.
    pub async fn rows_after(&self, sequence: i64) -> Result<SendableRecordBatchStream, LakeError> {
        read(&self.table, NAME, Some(col("alert_sequence").gt(lit(sequence))), &[]).await
    }
}
