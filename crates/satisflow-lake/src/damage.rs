//! Files that can't be read: looked for when reading has failed, for the
//! readers' own words do not say which file it was.

use std::fmt;

use deltalake_core::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake_core::{DeltaTable, Path};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use crate::error::LakeError;
use crate::lake::Lake;

/// Damaged files that are named, at most.
const NAMED_MAX: usize = 10;

/// A file that the log names and that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The table.
    pub table: &'static str,
    /// The file, below the table's folder.
    pub path: String,
    /// Why.
    pub message: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {}", self.table, self.path, self.message)
    }
}

impl Lake {
    /// Reads every file of the lake and gives those that can't be, at most ten.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn damaged_files(&self) -> Result<Vec<Damage>, LakeError> {
        let mut damaged = Vec::new();
        for table in [&self.records, &self.kpis] {
            let state = table.refreshed().await?;
            let views: Vec<_> = state
                .get_active_add_actions_by_predicate(None)
                .try_collect()
                .await
                .map_err(LakeError::delta(table.name))?;
            for view in views {
                let path = view.object_store_path();
                if let Err(message) = check(&state, &path, view.size()).await {
                    damaged.push(Damage { table: table.name, path: path.to_string(), message });
                }
                if damaged.len() >= NAMED_MAX {
                    return Ok(damaged);
                }
            }
        }
        Ok(damaged)
    }
}

async fn check(state: &DeltaTable, path: &Path, size: i64) -> Result<(), String> {
    let text = |error: &dyn fmt::Display| error.to_string();
    let got = state.object_store().get(path).await.map_err(|e| text(&e))?;
    let bytes = got.bytes().await.map_err(|e| text(&e))?;
    if i64::try_from(bytes.len()) != Ok(size) {
        return Err(format!("it has {} bytes, and {size} were written", bytes.len()));
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| text(&e))?;
    for batch in reader.build().map_err(|e| text(&e))? {
        batch.map_err(|e| text(&e))?;
    }
    Ok(())
}
