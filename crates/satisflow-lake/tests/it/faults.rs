//! A store that fails when it is told to, and once too late: what was written
//! is there, and the writer hears of an error.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use satisflow_lake::{CommitError, Lake, LakeOptions};

use crate::{commit, count, options};

/// Faults to come, one an operation.
#[derive(Debug, Default)]
pub struct Faults {
    /// Writes of log entries that go through and answer with an error.
    lost_replies: AtomicUsize,
    /// Reads and lists that fail, once a reply was lost.
    failing_reads: AtomicUsize,
    /// Writes of log entries that fail.
    failing_writes: AtomicUsize,
}

impl Faults {
    /// The next write of a log entry goes through and answers with an error.
    pub fn lose_a_reply(&self) {
        self.lost_replies.store(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Faulty {
    inner: LocalFileSystem,
    faults: Arc<Faults>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store with faults")
    }
}

fn take(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn fault() -> Error {
    Error::Generic { store: "faulty", source: "the connection was reset".into() }
}

impl Faulty {
    fn read(&self) -> Result<()> {
        let armed = self.faults.lost_replies.load(Ordering::SeqCst) == 0;
        if armed && take(&self.faults.failing_reads) { Err(fault()) } else { Ok(()) }
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let is_log = location.as_ref().ends_with(".json");
        if is_log && take(&self.faults.failing_writes) {
            return Err(fault());
        }
        let put = self.inner.put_opts(location, payload, options).await?;
        if is_log && take(&self.faults.lost_replies) { Err(fault()) } else { Ok(put) }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.read()?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.read() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => Box::pin(futures::stream::once(async { Err(error) })),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

pub async fn open(folder: &tempfile::TempDir) -> (Lake, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let store = Faulty { inner: LocalFileSystem::new(), faults: Arc::clone(&faults) };
    let options = LakeOptions { store: Some(Arc::new(store)), ..options() };
    (Lake::open(folder.path().to_str().unwrap(), options).await.unwrap(), faults)
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_has_gone_through() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, faults) = open(&folder).await;
    faults.lost_replies.store(1, Ordering::SeqCst);
    lake.commit_records(commit("a", 0, 0, 5)).await.unwrap();
    assert_eq!((lake.position("t", 0).await.unwrap(), count(&lake).await), (Some(5), 5));
}

#[tokio::test]
async fn a_commit_that_can_not_look_for_itself_finds_itself_when_it_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, faults) = open(&folder).await;
    lake.commit_records(commit("before", 0, 0, 2)).await.unwrap();
    faults.lost_replies.store(1, Ordering::SeqCst);
    faults.failing_reads.store(1000, Ordering::SeqCst);
    let failed = lake.commit_records(commit("a", 0, 2, 7)).await.unwrap_err();
    assert!(matches!(failed, CommitError::Lake(_)), "{failed}");
    let left = faults.failing_reads.swap(0, Ordering::SeqCst);
    assert!(left < 1000, "no read has failed");
    lake.commit_records(commit("a", 0, 2, 7)).await.unwrap();
    lake.commit_records(commit("b", 0, 7, 9)).await.unwrap();
    assert_eq!((lake.position("t", 0).await.unwrap(), count(&lake).await), (Some(9), 9));
}

#[tokio::test]
async fn a_commit_that_fails_leaves_nothing_and_can_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, faults) = open(&folder).await;
    faults.failing_writes.store(1, Ordering::SeqCst);
    let failed = lake.commit_records(commit("a", 0, 0, 5)).await.unwrap_err();
    assert!(!failed.is_lost(), "{failed}");
    assert_eq!((lake.position("t", 0).await.unwrap(), count(&lake).await), (None, 0));
    lake.commit_records(commit("a", 0, 0, 5)).await.unwrap();
    assert_eq!((lake.position("t", 0).await.unwrap(), count(&lake).await), (Some(5), 5));
}
