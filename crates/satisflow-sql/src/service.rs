//! The session that all clients share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use futures::StreamExt;

use crate::access::Caller;
use crate::error::SqlError;
use crate::interrupt::{Interruptible, Wanted};
use crate::tables::Tables;
use crate::{catalog, functions, guard, views};

/// Catalog that clients connect to.
pub(crate) const CATALOG: &str = "satisflow";

/// Limits of clients.
#[derive(Debug, Clone)]
pub struct SqlLimits {
    /// Memory of all queries together, bytes; beyond, they spill or fail.
    pub memory_bytes_max: usize,
    /// PostgreSQL connections.
    pub connections_max: usize,
    /// Longest run of a statement, reading its result included.
    pub statement_timeout: Duration,
    /// A connection that asks nothing for this long is ended; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Rows of an HTTP result.
    pub rows_max: usize,
    /// Length of a statement.
    pub query_bytes_max: usize,
}

impl Default for SqlLimits {
    fn default() -> SqlLimits {
        SqlLimits {
            memory_bytes_max: 512 << 20,
            connections_max: 64,
            statement_timeout: Duration::from_secs(60),
            idle_timeout: Some(Duration::from_secs(3600)),
            rows_max: 10_000_000,
            query_bytes_max: 1 << 20,
        }
    }
}

/// SQL over the published tables.
pub struct SqlService {
    /// What each caller sees; nobody else can ask.
    contexts: BTreeMap<Caller, Arc<SessionContext>>,
    pub(crate) limits: SqlLimits,
    threads: Threads,
}

/// Threads for queries alone; dropping them waits for nothing.
struct Threads(Option<tokio::runtime::Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Planning recurses over expressions; the guard limits statements to what fits
/// into a stack of this size, for every thread that plans.
pub const STACK_BYTES: usize = 128 << 20;
/// Batches of a result that wait for their reader.
const BATCHES_MAX: usize = 2;

impl SqlService {
    /// Publishes the tables, to these callers.
    ///
    /// # Errors
    /// When a view does not plan over them.
    pub fn new(
        tables: &Tables,
        limits: SqlLimits,
        callers: impl IntoIterator<Item = Caller>,
    ) -> Result<Arc<SqlService>, SqlError> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(limits.memory_bytes_max)))
            .build_arc()?;
        let contexts = callers.into_iter().map(|caller| Ok((caller, context(tables, &runtime, caller)?)));
        let contexts = contexts.collect::<Result<_, SqlError>>()?;
        let threads = tokio::runtime::Builder::new_multi_thread()
            .thread_name("sql")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| SqlError::Threads(error.to_string()))?;
        Ok(Arc::new(SqlService { contexts, limits, threads: Threads(Some(threads)) }))
    }

    /// Where clients and their queries run.
    pub(crate) fn threads(&self) -> tokio::runtime::Handle {
        self.threads.0.as_ref().map_or_else(tokio::runtime::Handle::current, |runtime| runtime.handle().clone())
    }

    pub(crate) fn contexts(&self) -> &BTreeMap<Caller, Arc<SessionContext>> {
        &self.contexts
    }

    /// Runs one query; its stream ends with an error at the statement timeout.
    ///
    /// # Errors
    /// When the caller or the statement is refused, or it does not plan.
    pub async fn query(&self, sql: &str, caller: Caller) -> Result<SendableRecordBatchStream, SqlError> {
        guard::check_size(sql, self.limits.query_bytes_max).map_err(SqlError::TooLong)?;
        guard::only_query(sql).map_err(SqlError::Refused)?;
        let context =
            self.contexts.get(&caller).ok_or_else(|| SqlError::Refused("nothing is published to you".to_owned()))?;
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let timeout = self.limits.statement_timeout;
        let (context, sql) = (Arc::clone(context), sql.to_owned());
        let wanted = Wanted::new(timeout);
        let started = self.threads().spawn(async move {
            let started = async { context.sql_with_options(&sql, options).await?.execute_stream().await };
            let stream = tokio::time::timeout(timeout, wanted.scope(started)).await;
            stream
                .map_err(|_| SqlError::Timeout(timeout))?
                .map(|s| forwarded(s, timeout, wanted))
                .map_err(SqlError::from)
        });
        started.await.map_err(|error| SqlError::Threads(error.to_string()))?
    }
}

fn context(tables: &Tables, runtime: &Arc<RuntimeEnv>, caller: Caller) -> Result<Arc<SessionContext>, SqlError> {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, "public")
        .with_create_default_catalog_and_schema(true)
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_str("datafusion.sql_parser.dialect", "postgres")
        .set_str("datafusion.execution.time_zone", "UTC");
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::clone(runtime))
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(Interruptible))
        .build();
    let context = SessionContext::new_with_state(state);
    functions::register(&context);
    views::register(&context, tables.clone(), caller)?;
    setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|error| *error)?;
    catalog::register(&context)?;
    functions::register_catalog(&context);
    Ok(Arc::new(context))
}

/// The stream, read on the threads of queries, until the timeout or until its reader is gone.
fn forwarded(mut stream: SendableRecordBatchStream, timeout: Duration, wanted: Wanted) -> SendableRecordBatchStream {
    let schema = stream.schema();
    let deadline = tokio::time::Instant::now() + timeout;
    let (sender, mut receiver) = tokio::sync::mpsc::channel(BATCHES_MAX);
    tokio::spawn(async move {
        let _wanted = wanted;
        loop {
            let next = tokio::select! {
                next = tokio::time::timeout_at(deadline, stream.next()) => next,
                () = sender.closed() => return,
            };
            let item = match next {
                Ok(None) => return,
                Ok(Some(item)) => item,
                Err(_) => Err(DataFusionError::Execution(SqlError::Timeout(timeout).to_string())),
            };
            let failed = item.is_err();
            if sender.send(item).await.is_err() || failed {
                return;
            }
        }
    });
    let read = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
    Box::pin(RecordBatchStreamAdapter::new(schema, read))
}
