//! Keeping the lake small: compaction, checkpoints, vacuum.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::time::UNIX_EPOCH;

use chrono::TimeDelta;
use deltalake_core::DeltaTable;
use deltalake_core::checkpoints::{cleanup_metadata, create_checkpoint};
use deltalake_core::kernel::transaction::CommitProperties;

use crate::SCORE;
use crate::error::LakeError;
use crate::failpoints::{reach, watched};
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

/// Replaced files are kept for this long. An hour less than checkpoints tell of
/// them, so that none is forgotten between a vacuum and the checkpoint after it.
const RETENTION: TimeDelta = TimeDelta::hours(7 * 24 - 1);

/// Property of a table: who compacts it.
const CLAIM: &str = "satisflow.compaction";

/// Says in the log that a compaction begins; gives the table as it then is.
///
/// Of two compactions that remove the same files the log's own check refuses
/// neither, and every row in them would be there twice: such files count as
/// changed in their layout alone. It does refuse whoever began before the
/// metadata changed, and so whoever began before the last claim, however long
/// it stood still.
async fn claim(table: &Table) -> Result<DeltaTable, LakeError> {
    let claim = HashMap::from([(CLAIM.to_owned(), uuid::Uuid::new_v4().to_string())]);
    let claimed = table.refreshed().await?.set_tbl_properties().with_properties(claim);
    let claimed = claimed.with_raise_if_not_exists(false).with_commit_properties(without_checkpoint());
    claimed.await.map_err(LakeError::delta(table.name))
}

async fn merge(table: &Table, state: DeltaTable, file_bytes_target: NonZeroU64) -> Result<Maintenance, LakeError> {
    let state = watched(state, table.name, "compaction").await.map_err(LakeError::delta(table.name))?;
    let optimize = state
        .optimize()
        .with_target_size(file_bytes_target)
        .with_writer_properties(table.properties())
        .with_max_concurrent_tasks(1)
        .with_commit_properties(without_checkpoint());
    let (_, metrics) = optimize.await.map_err(LakeError::delta(table.name))?;
    Ok(Maintenance { files_removed: metrics.num_files_removed, files_added: metrics.num_files_added })
}

fn without_checkpoint() -> CommitProperties {
    CommitProperties::default().with_create_checkpoint(false)
}

/// A compaction that has begun.
#[derive(Debug)]
pub struct Compaction<'a> {
    lake: &'a Lake,
    records: DeltaTable,
    kpis: DeltaTable,
}

impl Compaction<'_> {
    /// As [`Lake::compact`].
    ///
    /// # Errors
    /// When a table can't be rewritten, or another compaction has begun since; it is as before then.
    pub async fn finish(self, file_bytes_target: NonZeroU64) -> Result<Maintenance, LakeError> {
        let mut done = Maintenance::default();
        for (table, state) in [(&self.lake.records, self.records), (&self.lake.kpis, self.kpis)] {
            reach(table.name, "before-compaction");
            let merged = merge(table, state, file_bytes_target).await?;
            reach(table.name, "after-compaction");
            done.files_removed += merged.files_removed;
            done.files_added += merged.files_added;
        }
        self.lake.refresh().await?;
        Ok(done)
    }
}

/// When a log entry says that it was committed, ms since the epoch.
fn committed_ms(entry: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(entry).ok()?;
    let time = |line: &str| {
        let action: serde_json::Value = serde_json::from_str(line).ok()?;
        action.get("commitInfo")?.get("timestamp")?.as_i64()
    };
    text.lines().find_map(time)
}

impl Lake {
    /// A whole round: compacts, deletes what was replaced a week ago, writes
    /// checkpoints; what was done, and the number of files deleted.
    ///
    /// In this order: a checkpoint forgets which files were replaced a week ago,
    /// and so waits while they can't be deleted.
    ///
    /// # Errors
    /// When one of them fails; rows stay as they are, and the next round goes on.
    pub async fn maintain(&self, file_bytes_target: NonZeroU64) -> Result<(Maintenance, usize), LakeError> {
        let done = self.compact(file_bytes_target).await?;
        let mut deleted = 0;
        for table in self.tables() {
            if let Some(files) = self.vacuum_table(table).await? {
                deleted += files;
                self.checkpoint_table(table).await?;
            }
        }
        Ok((done, deleted))
    }

    /// Merges files smaller than `file_bytes_target`. Rows stay as they are, and
    /// readers of the log see that nothing is new.
    ///
    /// # Errors
    /// When a table can't be rewritten; it is as before then.
    pub async fn compact(&self, file_bytes_target: NonZeroU64) -> Result<Maintenance, LakeError> {
        self.begin_compaction().await?.finish(file_bytes_target).await
    }

    /// Begins a compaction: one that another process began before is refused from here on.
    ///
    /// # Errors
    /// When the logs can't be written.
    pub async fn begin_compaction(&self) -> Result<Compaction<'_>, LakeError> {
        Ok(Compaction { lake: self, records: claim(&self.records).await?, kpis: claim(&self.kpis).await? })
    }

    /// Writes a checkpoint of each log and removes entries older than the log's
    /// retention, of `records` only such as are scored.
    ///
    /// # Errors
    /// When a checkpoint can't be written.
    pub async fn checkpoint(&self) -> Result<(), LakeError> {
        for table in self.tables() {
            self.checkpoint_table(table).await?;
        }
        Ok(())
    }

    async fn checkpoint_table(&self, table: &Table) -> Result<(), LakeError> {
        let state = table.refreshed().await?;
        reach(table.name, "before-checkpoint");
        let delta = LakeError::delta(table.name);
        let state = watched(state, table.name, "checkpoint").await.map_err(&delta)?;
        create_checkpoint(&state, None).await.map_err(&delta)?;
        reach(table.name, "after-checkpoint");
        let Some(settled) = self.settled(table, state).await? else { return Ok(()) };
        cleanup_metadata(&settled, None).await.map(drop).map_err(&delta)
    }

    /// Whether every version that may need files replaced before the last week is
    /// scored: the first one that is not was committed within that week.
    async fn is_scored_of_late(&self, records: &DeltaTable) -> Result<bool, LakeError> {
        let scored = self.kpi_transaction(SCORE).await?;
        let Some(scored) = scored.and_then(|version| u64::try_from(version).ok()) else { return Ok(false) };
        if records.version().is_some_and(|newest| newest <= scored) {
            return Ok(true);
        }
        let entry = records.log_store().read_commit_entry(scored + 1).await.map_err(LakeError::delta("records"))?;
        let committed_ms = entry.as_deref().and_then(committed_ms);
        let since_epoch = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
        let kept_from = i64::try_from(since_epoch).unwrap_or(i64::MAX) - RETENTION.num_milliseconds();
        Ok(committed_ms.is_some_and(|committed| committed > kept_from))
    }

    /// The state whose earlier entries nobody will read any more: the scorer
    /// reads each entry of `records` by itself. `None` while nothing is scored.
    async fn settled(&self, table: &Table, mut state: DeltaTable) -> Result<Option<DeltaTable>, LakeError> {
        if table.name != self.records.name {
            return Ok(Some(state));
        }
        let scored = self.kpi_transaction(SCORE).await?;
        let Some(scored) = scored.and_then(|version| u64::try_from(version).ok()) else { return Ok(None) };
        if state.version().is_some_and(|newest| scored < newest) {
            state.load_version(scored).await.map_err(LakeError::delta(table.name))?;
        }
        Ok(Some(state))
    }

    /// Deletes files that no version of the last week, but for an hour, refers to;
    /// of `records` none while the scorer is further behind than that.
    ///
    /// # Errors
    /// When files can't be listed or deleted.
    pub async fn vacuum(&self) -> Result<usize, LakeError> {
        let mut deleted = 0;
        for table in self.tables() {
            deleted += self.vacuum_table(table).await?.unwrap_or(0);
        }
        Ok(deleted)
    }

    /// Files deleted; `None` while the scorer may need what would be.
    async fn vacuum_table(&self, table: &Table) -> Result<Option<usize>, LakeError> {
        reach(table.name, "before-vacuum");
        let delta = LakeError::delta(table.name);
        let newest = table.refreshed().await?;
        if table.name == self.records.name && !self.is_scored_of_late(&newest).await? {
            return Ok(None);
        }
        let state = watched(newest, table.name, "vacuum").await.map_err(&delta)?;
        let vacuum = state.vacuum().with_retention_period(RETENTION).with_enforce_retention_duration(false);
        let (_, metrics) = vacuum.await.map_err(&delta)?;
        reach(table.name, "after-vacuum");
        Ok(Some(metrics.files_deleted.len()))
    }
}
