//! The PostgreSQL protocol.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::{DfSessionService, Parser, QueryHook};
use futures::Sink;
use pgwire::api::auth::StartupHandler;
use pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{FieldInfo, Response};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, ErrorHandler, PgWireServerHandlers, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::Execute;
use pgwire::messages::response::TransactionStatus;
use pgwire::messages::simplequery::Query;
use pgwire::tokio::process_socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::guard::{self, Guard};
use crate::interrupt::Wanted;
use crate::metrics::{Listener, Outcome, Run};
use crate::service::SqlService;
use crate::sqlstate::{self, user_error};
use ends::{Ends, cancel_requests, ended_by, in_time};
use idle::Activity;
use login::{Door, Login, caller};
use statements::Statements;

mod copy;
mod ends;
mod gone;
pub(crate) mod idle;
mod login;
mod portals;
mod rewrite;
pub(crate) mod settings;
mod statements;

/// The listener can't be served.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// It listens to a network without users or without TLS.
    #[error("{0} is not a loopback address: SQL is served to a network only with `users` and `tls`")]
    Exposed(std::net::SocketAddr),
    /// The listener failed.
    #[error("SQL listener: {0}")]
    Io(#[from] std::io::Error),
}

/// Serves until `stop`; connections that are open then are dropped. Clients
/// live on the service's own threads: what they ask for slows nothing else.
///
/// # Errors
/// [`PgError`].
pub async fn serve_pg(
    listener: TcpListener,
    service: Arc<SqlService>,
    access: Arc<Access>,
    stop: CancellationToken,
) -> Result<(), PgError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() && !access.can_face_a_network() {
        return Err(PgError::Exposed(address));
    }
    let threads = service.threads();
    let serving = threads.spawn(accept(listener, service, access, stop));
    serving.await.map_err(|error| PgError::Io(std::io::Error::other(error)))?
}

/// Says that there are too many connections, as PostgreSQL does: in the clear,
/// after the client's first words.
async fn refuse(mut socket: TcpStream) {
    const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);
    const ENCRYPTION_REQUESTS: [u32; 2] = [80_877_103, 80_877_104];
    let told = async {
        loop {
            let (length, request) = (socket.read_u32().await?, socket.read_u32().await?);
            let rest = u64::from(length.saturating_sub(8)).min(10_000);
            tokio::io::copy(&mut (&mut socket).take(rest), &mut tokio::io::sink()).await?;
            if !ENCRYPTION_REQUESTS.contains(&request) {
                break;
            }
            socket.write_all(b"N").await?;
        }
        let fields = "SFATAL\0VFATAL\0C53300\0Mtoo many connections: raise `sql.connections_max`\0\0";
        socket.write_u8(b'E').await?;
        socket.write_u32(u32::try_from(fields.len() + 4).unwrap_or(u32::MAX)).await?;
        socket.write_all(fields.as_bytes()).await?;
        socket.shutdown().await
    };
    // A client that does not listen is not waited for.
    let _: Result<std::io::Result<()>, _> = tokio::time::timeout(REFUSAL_TIMEOUT, told).await;
}

async fn accept(
    listener: TcpListener,
    service: Arc<SqlService>,
    access: Arc<Access>,
    stop: CancellationToken,
) -> Result<(), PgError> {
    let connections = Arc::new(Semaphore::new(service.limits.connections_max));
    let tls = access.tls();
    let door = Arc::new(Door::new(access));
    loop {
        let socket = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            socket = satisflow_runtime::accept(&listener, "PostgreSQL") => socket,
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            tracing::warn!(limit = service.limits.connections_max, "too many SQL connections: one was refused");
            service.metrics.refuse(Listener::Postgres);
            tokio::spawn(refuse(socket));
            continue;
        };
        let counted = service.metrics.connection(Listener::Postgres);
        let (activity, idle_timeout) = (Activity::new(), service.limits.idle_timeout);
        let handlers = Arc::new(Handlers::new(&service, &door, &activity));
        let watch = gone::watch(&socket);
        let (tls, stop) = (tls.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = gone::gone(watch) => tracing::debug!("a SQL client is gone"),
                () = activity.idle(idle_timeout) => tracing::debug!("an idle SQL connection was ended"),
                ended = process_socket(socket, tls, handlers) => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a SQL connection has ended");
                    }
                }
            }
            drop((permit, counted));
        });
    }
}

/// The handlers of one connection.
struct Handlers {
    session: Arc<Session>,
    login: Arc<Login>,
    cancel: Arc<DefaultCancelHandler>,
}

impl Handlers {
    fn new(service: &Arc<SqlService>, door: &Arc<Door>, activity: &Arc<Activity>) -> Handlers {
        Handlers {
            session: Arc::new(Session::new(Arc::clone(service), Arc::clone(activity))),
            login: Arc::new(Login::new(Arc::clone(door))),
            cancel: Arc::new(DefaultCancelHandler::new(Arc::clone(&door.connections))),
        }
    }
}

struct LogErrors;

impl ErrorHandler for LogErrors {
    fn on_error<C: ClientInfo>(&self, _client: &C, error: &mut PgWireError) {
        if let Some(translated) = sqlstate::translated(error) {
            *error = translated;
        }
        tracing::debug!(%error, "a statement failed");
    }
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.session)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.session)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::clone(&self.login)
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::clone(&self.cancel)
    }

    fn error_handler(&self) -> Arc<impl ErrorHandler> {
        Arc::new(LogErrors)
    }
}

/// One connection: the session of the library, with limits on what it runs and streams.
struct Session {
    parser: Arc<LimitedParser>,
    timeout: Duration,
    activity: Arc<Activity>,
}

impl Session {
    fn new(service: Arc<SqlService>, activity: Arc<Activity>) -> Session {
        let timeout = service.limits.statement_timeout;
        Session { parser: Arc::new(LimitedParser { service, own: OnceLock::new() }), timeout, activity }
    }

    async fn ends<C: ClientInfo>(&self, timeout: Duration, wanted: Arc<Wanted>, client: &C) -> Ends {
        Ends { timeout, wanted, cancelled: cancel_requests(client).await, activity: Arc::clone(&self.activity) }
    }

    /// The client's `statement_timeout` where it is shorter than the limit.
    fn timeout_of<C: ClientInfo>(&self, client: &C) -> Duration {
        settings::statement_timeout(client.metadata()).map_or(self.timeout, |own| own.min(self.timeout))
    }
}

/// What one connection asks with, made once somebody has logged in: its settings are its own.
struct Own {
    context: Arc<SessionContext>,
    session: DfSessionService,
}

/// Reads statements as PostgreSQL's clients write them.
static COMPATIBLE: LazyLock<PostgresCompatibilityParser> = LazyLock::new(PostgresCompatibilityParser::new);

/// Parser of one connection, behind the limits of a statement.
struct LimitedParser {
    service: Arc<SqlService>,
    own: OnceLock<Own>,
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> PgWireError {
    PgWireError::ApiError(Box::new(error))
}

impl LimitedParser {
    fn of<C: ClientInfo + ?Sized>(&self, client: &C) -> PgWireResult<&Own> {
        let caller = caller(client)?;
        if let Some(own) = self.own.get() {
            return Ok(own);
        }
        let shared = self.service.contexts().get(&caller);
        let shared = shared.ok_or_else(|| user_error("42501", "nothing is published to you".to_owned()))?;
        let context = Arc::new(SessionContext::new_with_state(shared.state()));
        statements::apply(&context, client.metadata()).map_err(failed)?;
        let hooks: Vec<Arc<dyn QueryHook>> = vec![Arc::new(Guard), Arc::new(Statements)];
        let session = DfSessionService::new_with_hooks(Arc::clone(&context), hooks);
        Ok(self.own.get_or_init(|| Own { context, session }))
    }

    /// A statement begins.
    fn begin(&self) -> Run {
        self.service.metrics.begin(Listener::Postgres)
    }

    fn parsed(&self) -> PgWireResult<Arc<Parser>> {
        let own = self.own.get().map(|own| own.session.query_parser());
        own.ok_or_else(|| user_error("28000", "nobody has logged in".to_owned()))
    }

    /// The statements of a text, each of which only reads.
    fn statements(&self, sql: &str) -> PgWireResult<Vec<Statement>> {
        let bytes_max = self.service.limits.query_bytes_max;
        guard::check_size(sql, bytes_max).map_err(|message| user_error("54000", message))?;
        let mut statements = COMPATIBLE.parse(sql).map_err(failed)?;
        for statement in &mut statements {
            guard::check(statement).map_err(|reason| user_error("25006", reason))?;
            rewrite::for_the_engine(statement);
        }
        Ok(statements)
    }
}

#[async_trait]
impl QueryParser for LimitedParser {
    type Statement = <Parser as QueryParser>::Statement;

    async fn parse_sql<C>(&self, client: &C, sql: &str, _: &[Option<Type>]) -> PgWireResult<Option<Self::Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let own = self.of(client)?;
        let prepared = async {
            let mut statements = self.statements(sql)?.into_iter();
            let Some(statement) = statements.next() else { return Ok(None) };
            if statements.next().is_some() {
                let message = "cannot insert multiple commands into a prepared statement";
                return Err(user_error("42601", message.to_owned()));
            }
            let plan = statements::planned(&statement, &own.context, client.metadata()).await?;
            Ok(Some((statement.to_string(), Some((statement, plan)))))
        };
        // It counts as a statement if it fails; else what runs it does.
        prepared.await.inspect_err(|error| self.begin().end(Outcome::of_postgres(error)))
    }

    fn get_parameter_types(&self, statement: &Self::Statement) -> PgWireResult<Vec<Type>> {
        self.parsed()?.get_parameter_types(statement)
    }

    fn get_result_schema(&self, statement: &Self::Statement, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        self.parsed()?.get_result_schema(statement, format)
    }
}

/// A transaction that has failed goes on after `ROLLBACK TO`: the library would leave it failed.
fn revive<C: ClientInfo>(client: &mut C, statement: Option<&Statement>) {
    let back = matches!(statement, Some(Statement::Rollback { savepoint: Some(_), .. }));
    if back && client.transaction_status() == TransactionStatus::Error {
        client.set_transaction_status(TransactionStatus::Transaction);
    }
}

#[async_trait]
impl SimpleQueryHandler for Session {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if client.transaction_status() == TransactionStatus::Error {
            let statements = self.parser.statements(&query.query).unwrap_or_default();
            revive(client, statements.first());
        }
        self._on_query(client, query).await
    }

    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let _busy = self.activity.begin();
        let own = self.parser.of(client)?;
        let timeout = self.timeout_of(client);
        let wanted = Arc::new(Wanted::new(timeout));
        let first = self.parser.begin();
        let answered = async {
            let statements = self.parser.statements(query)?;
            let running = wanted.scope(statements::answers(&statements, &own.context, client));
            in_time(timeout, running).await
        };
        let (responses, first) = ended_by(answered.await, first)?;
        let ends = self.ends(timeout, wanted, client).await;
        let runs = std::iter::once(first).chain(std::iter::repeat_with(|| self.parser.begin()));
        Ok(responses.into_iter().zip(runs).map(|(response, run)| ends.limit(response, run)).collect())
    }
}

#[async_trait]
impl ExtendedQueryHandler for Session {
    type Statement = <DfSessionService as ExtendedQueryHandler>::Statement;
    type QueryParser = LimitedParser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        Arc::clone(&self.parser)
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let portal = client.portal_store().get_portal(message.name.as_deref().unwrap_or(DEFAULT_NAME));
        if let Some(Entry::Value(portal)) = portal {
            if portals::is_query(&portal) {
                return self.send_rows(client, &portal, usize::try_from(message.max_rows).unwrap_or(0)).await;
            }
            revive(client, portal.statement.statement.1.as_ref().map(|(statement, _)| statement));
        }
        self._on_execute(client, message).await
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let _busy = self.activity.begin();
        let session = &self.parser.of(client)?.session;
        let timeout = self.timeout_of(client);
        let wanted = Arc::new(Wanted::new(timeout));
        let run = self.parser.begin();
        let running = wanted.scope(ExtendedQueryHandler::do_query(session, client, portal, max_rows));
        let (response, run) = ended_by(in_time(timeout, running).await, run)?;
        Ok(self.ends(timeout, wanted, client).await.limit(response, run))
    }
}
