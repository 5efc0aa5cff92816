//! Keeping the lake small: compaction, checkpoints, vacuum.

use std::num::NonZeroU64;

use deltalake_core::checkpoints::{cleanup_metadata, create_checkpoint};
use deltalake_core::kernel::transaction::CommitProperties;

use crate::error::LakeError;
use crate::failpoints::reach;
use crate::lake::Lake;
use crate::table::Table;

/// What a round of maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Small files that were merged.
    pub files_removed: u64,
    /// Files that they were merged into.
    pub files_added: u64,
}

impl Lake {
    /// Merges files smaller than `file_bytes_target`. Rows stay as they are, and
    /// readers of the log see that nothing is new.
    ///
    /// # Errors
    /// When a table can't be rewritten; it is as before then.
    pub async fn compact(&self, file_bytes_target: NonZeroU64) -> Result<Maintenance, LakeError> {
        let mut done = Maintenance::default();
        for table in [&self.records, &self.kpis] {
            let state = table.refreshed().await?;
            let optimize = state
                .optimize()
                .with_target_size(file_bytes_target)
                .with_writer_properties(table.properties())
                .with_max_concurrent_tasks(1)
                .with_commit_properties(CommitProperties::default().with_create_checkpoint(false));
            reach(table.name, "before-compaction");
            let (_, metrics) = optimize.await.map_err(LakeError::delta(table.name))?;
            reach(table.name, "after-compaction");
            done.files_removed += metrics.num_files_removed;
            done.files_added += metrics.num_files_added;
        }
        self.refresh().await?;
        Ok(done)
    }

    /// Writes a checkpoint of each log and removes entries older than the log's retention.
    ///
    /// # Errors
    /// When a checkpoint can't be written.
    pub async fn checkpoint(&self) -> Result<(), LakeError> {
        for table in [&self.records, &self.kpis] {
            let state = table.refreshed().await?;
            reach(table.name, "before-checkpoint");
            create_checkpoint(&state, None).await.map_err(LakeError::delta(table.name))?;
            reach(table.name, "after-checkpoint");
            cleanup_metadata(&state, None).await.map_err(LakeError::delta(table.name))?;
        }
        Ok(())
    }

    /// Deletes files that no version of the last week refers to.
    ///
    /// # Errors
    /// When files can't be listed or deleted.
    pub async fn vacuum(&self) -> Result<usize, LakeError> {
        let mut deleted = 0;
        for table in [&self.records, &self.kpis] {
            let state: &Table = table;
            reach(table.name, "before-vacuum");
            let (_, metrics) = state.refreshed().await?.vacuum().await.map_err(LakeError::delta(table.name))?;
            reach(table.name, "after-vacuum");
            deleted += metrics.files_deleted.len();
        }
        Ok(deleted)
    }
}
