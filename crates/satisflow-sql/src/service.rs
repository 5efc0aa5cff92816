//! The session that all clients share.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{DataFusionError, ParamValues, ScalarValue};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{DataFrame, SQLOptions, SessionConfig, SessionContext};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use futures::StreamExt;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::access::Caller;
use crate::error::SqlError;
use crate::interrupt::{CANCELLED, Interruptible, Wanted};
use crate::metrics::{Listener, Outcome, Run, SqlMetrics};
use crate::tables::Tables;
use crate::{catalog, functions, guard, views};

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
    pub(crate) metrics: Arc<SqlMetrics>,
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
        metrics: SqlMetrics,
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
        Ok(Arc::new(SqlService { contexts, limits, metrics: Arc::new(metrics), threads: Threads(Some(threads)) }))
    }

    /// What its clients ask, in numbers.
    pub fn metrics(&self) -> Arc<SqlMetrics> {
        Arc::clone(&self.metrics)
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
        self.run(Query::new(sql, Listener::Http), caller).await
    }

    /// Runs one query as it is told to.
    pub(crate) async fn run(&self, query: Query, caller: Caller) -> Result<SendableRecordBatchStream, SqlError> {
        let run = self.metrics.begin(query.listener);
        match self.started(query, caller).await {
            Ok(started) => Ok(started.forwarded(run)),
            Err(error) => {
                run.end(Outcome::of(&error));
                Err(error)
            }
        }
    }

    async fn started(&self, query: Query, caller: Caller) -> Result<Started, SqlError> {
        let context = self.context_of(&query, caller)?;
        let timeout = self.limits.statement_timeout;
        let wanted = Wanted::new(timeout);
        let threads = self.threads();
        let started = self.threads().spawn(async move {
            let started = async { query.planned(&context).await?.execute_stream().await };
            let stream = tokio::time::timeout(timeout, wanted.scope(started)).await;
            let stream = stream.map_err(|_| SqlError::Timeout(timeout))??;
            Ok(Started { stream, timeout, wanted, query, threads })
        });
        started.await.map_err(|error| SqlError::Threads(error.to_string()))?
    }

    /// What one query answers and takes; it is planned and not run. It counts as a statement if it fails.
    pub(crate) async fn describe(&self, query: Query, caller: Caller) -> Result<Described, SqlError> {
        let listener = query.listener;
        let described = self.described(query, caller).await;
        described.inspect_err(|error| self.metrics.begin(listener).end(Outcome::of(error)))
    }

    async fn described(&self, query: Query, caller: Caller) -> Result<Described, SqlError> {
        let context = self.context_of(&query, caller)?;
        let timeout = self.limits.statement_timeout;
        let planned = self.threads().spawn(async move {
            let planned = tokio::time::timeout(timeout, query.planned(&context)).await;
            let frame = planned.map_err(|_| SqlError::Timeout(timeout))??;
            let parameters = parameters(&frame)?;
            Ok(Described { schema: Arc::new(frame.schema().as_arrow().clone()), parameters })
        });
        planned.await.map_err(|error| SqlError::Threads(error.to_string()))?
    }

    /// The session for a query that passes the guard.
    fn context_of(&self, query: &Query, caller: Caller) -> Result<Arc<SessionContext>, SqlError> {
        guard::check_size(&query.sql, self.limits.query_bytes_max).map_err(SqlError::TooLong)?;
        guard::only_query(&query.sql).map_err(SqlError::Refused)?;
        let context = self.contexts.get(&caller);
        Ok(Arc::clone(context.ok_or_else(|| SqlError::Refused("nothing is published to you".to_owned()))?))
    }
}

/// A query, and how it is run.
pub(crate) struct Query {
    pub(crate) sql: String,
    /// Where it comes from.
    pub(crate) listener: Listener,
    /// Values of `$1`, `$2` and so on.
    pub(crate) parameters: Option<Vec<ScalarValue>>,
    /// Ends it, also while nobody reads.
    pub(crate) cancelled: CancellationToken,
    /// Dropped once it no longer runs.
    pub(crate) held: Box<dyn Any + Send + Sync>,
}

/// What a query answers, and the types of its parameters where they are known.
pub(crate) struct Described {
    pub(crate) schema: SchemaRef,
    pub(crate) parameters: Vec<Option<DataType>>,
}

impl Query {
    pub(crate) fn new(sql: &str, listener: Listener) -> Query {
        let cancelled = CancellationToken::new();
        Query { sql: sql.to_owned(), listener, parameters: None, cancelled, held: Box::new(()) }
    }

    async fn planned(&self, context: &SessionContext) -> Result<DataFrame, DataFusionError> {
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let frame = context.sql_with_options(&self.sql, options).await?;
        match &self.parameters {
            Some(values) => frame.with_param_values(ParamValues::from(values.clone())),
            None => Ok(frame),
        }
    }
}

/// Types of `$1`, `$2` and so on.
fn parameters(frame: &DataFrame) -> Result<Vec<Option<DataType>>, DataFusionError> {
    let mut named = frame.logical_plan().get_parameter_types()?;
    Ok((1..=named.len()).map(|index| named.remove(&format!("${index}")).flatten()).collect())
}

fn context(tables: &Tables, runtime: &Arc<RuntimeEnv>, caller: Caller) -> Result<Arc<SessionContext>, SqlError> {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema(catalog::CATALOG, "public")
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
    setup_pg_catalog(&context, catalog::CATALOG, EmptyContextProvider).map_err(|error| *error)?;
    catalog::register(&context)?;
    functions::register_catalog(&context);
    Ok(Arc::new(context))
}

/// A statement whose rows can be read.
struct Started {
    stream: SendableRecordBatchStream,
    timeout: Duration,
    wanted: Wanted,
    query: Query,
    threads: tokio::runtime::Handle,
}

impl Started {
    /// The stream, read on the threads of queries, until the timeout, until it is cancelled, or until
    /// its reader is gone; at the first two also while its reader does not read.
    fn forwarded(self, run: Run) -> SendableRecordBatchStream {
        let Started { mut stream, timeout, wanted, query, threads } = self;
        let schema = stream.schema();
        let deadline = tokio::time::Instant::now() + timeout;
        let (sender, mut receiver) = tokio::sync::mpsc::channel(BATCHES_MAX);
        let Query { cancelled, held, .. } = query;
        threads.spawn(async move {
            let (outcome, cause) = tokio::select! {
                outcome = pump(&mut stream, &sender) => return run.end(outcome),
                () = sender.closed() => return,
                () = cancelled.cancelled() => (Outcome::Cancelled, CANCELLED.to_owned()),
                () = tokio::time::sleep_until(deadline) => (Outcome::Timeout, SqlError::Timeout(timeout).to_string()),
            };
            // What the statement holds is free, however long its reader takes.
            drop((stream, wanted, held));
            run.end(outcome);
            let _ = sender.send(Err(DataFusionError::Execution(cause))).await;
        });
        let read = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
        Box::pin(RecordBatchStreamAdapter::new(schema, read))
    }
}

/// Hands batches on, up to the last or the first error.
async fn pump(
    stream: &mut SendableRecordBatchStream,
    sender: &Sender<Result<RecordBatch, DataFusionError>>,
) -> Outcome {
    while let Some(item) = stream.next().await {
        let failed = item.as_ref().err().map(Outcome::of_engine);
        if sender.send(item).await.is_err() {
            return Outcome::Cancelled;
        }
        if let Some(outcome) = failed {
            return outcome;
        }
    }
    Outcome::Ok
}
