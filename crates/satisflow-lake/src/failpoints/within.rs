//! Steps within an operation that the Delta library carries out as a whole:
//! they are seen at the store, which for that operation alone is one that
//! passes a step before and after each object that is written or deleted.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use deltalake_core::logstore::{ObjectStoreRef, default_logstore};
use deltalake_core::{DeltaResult, DeltaTable};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

use super::reach;

/// The table in the same state, over a store that passes the steps of an operation.
pub(crate) async fn watched(state: DeltaTable, part: &'static str, operation: &str) -> DeltaResult<DeltaTable> {
    let logs = state.log_store();
    let over = |inner: ObjectStoreRef| -> ObjectStoreRef {
        Arc::new(Watched { inner, part, operation: operation.to_owned() })
    };
    let stores = [logs.object_store(None), logs.root_object_store(None)].map(over);
    let [prefixed, root] = stores;
    let logs = default_logstore(prefixed, root, logs.config().location(), logs.config().options());
    let mut table = DeltaTable::new(logs);
    table.load_version(state.version().unwrap_or(0)).await?;
    Ok(table)
}

#[derive(Debug)]
struct Watched {
    inner: ObjectStoreRef,
    part: &'static str,
    operation: String,
}

impl Watched {
    fn reach(&self, when: &str, what: &str) {
        reach(self.part, &format!("in-{}-{when}-{what}", self.operation));
    }
}

fn kind_of(location: &Path) -> &'static str {
    match location.filename() {
        Some("_last_checkpoint") => "last-checkpoint",
        Some(name) if name.contains(".checkpoint.") => "checkpoint-file",
        Some(name) if name.ends_with(".json") => "log-entry",
        _ => "file",
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "steps of {} over {}", self.operation, self.inner)
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.reach("before", kind_of(location));
        let put = self.inner.put_opts(location, payload, options).await;
        self.reach("after", kind_of(location));
        put
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    /// One after the other, so that there is a step between two of them.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, part, operation) = (Arc::clone(&self.inner), self.part, self.operation.clone());
        let deleted = locations.flat_map(move |location| {
            let operation = operation.clone();
            let one = inner.delete_stream(stream::once(async { location }).boxed());
            one.inspect(move |_| reach(part, &format!("in-{operation}-after-deletion")))
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
