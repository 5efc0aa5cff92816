//! Engine snapshots: objects beside the table `kpis`, each written whole or not at all.

use bytes::Bytes;
use deltalake_core::Path;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::error::LakeError;
use crate::lake::Lake;

/// Delta's readers and cleaners leave alone what begins with an underscore.
const FOLDER: &str = "_snapshots";

impl Lake {
    /// Writes a snapshot under a number; it replaces one of the same number.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn write_snapshot(&self, number: u64, bytes: Bytes) -> Result<(), LakeError> {
        let written = self.kpis.store().await.put(&path(number), bytes.into()).await;
        written.map(drop).map_err(LakeError::read("snapshots"))
    }

    /// Numbers of the snapshots there are, the highest first.
    ///
    /// # Errors
    /// When the folder can't be listed.
    pub async fn snapshots(&self) -> Result<Vec<u64>, LakeError> {
        let store = self.kpis.store().await;
        let listed = store.list(Some(&Path::from(FOLDER))).try_collect::<Vec<_>>().await;
        let listed = listed.map_err(LakeError::read("snapshots"))?;
        let mut numbers: Vec<u64> = listed.iter().filter_map(|meta| meta.location.filename()?.parse().ok()).collect();
        numbers.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
        Ok(numbers)
    }

    /// A snapshot's bytes.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn read_snapshot(&self, number: u64) -> Result<Bytes, LakeError> {
        let got = self.kpis.store().await.get(&path(number)).await.map_err(LakeError::read("snapshots"))?;
        got.bytes().await.map_err(LakeError::read("snapshots"))
    }

    /// Deletes a snapshot.
    ///
    /// # Errors
    /// When it can't be deleted.
    pub async fn delete_snapshot(&self, number: u64) -> Result<(), LakeError> {
        self.kpis.store().await.delete(&path(number)).await.map_err(LakeError::read("snapshots"))
    }
}

fn path(number: u64) -> Path {
    Path::from(FOLDER).join(format!("{number:020}"))
}
