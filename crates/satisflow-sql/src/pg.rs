//! The PostgreSQL protocol.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::{DfSessionService, Parser, QueryHook};
use futures::{Sink, StreamExt};
use pgwire::api::auth::StartupHandler;
use pgwire::api::auth::noop::NoopStartupHandler;
use pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use pgwire::api::portal::Portal;
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{QueryResponse, Response};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, ConnectionManager, ErrorHandler, PgWireServerHandlers};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::tokio::process_socket;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::guard::Guard;
use crate::service::{SqlError, SqlService};

/// The listener can't be served.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// It listens to a network, and there is no authentication yet.
    #[error("{0} is not a loopback address: SQL is served without passwords and only to this machine")]
    NotLoopback(std::net::SocketAddr),
    /// The listener failed.
    #[error("SQL listener: {0}")]
    Io(#[from] std::io::Error),
}

/// Serves until `stop`; connections that are open then are dropped.
///
/// # Errors
/// [`PgError`].
pub async fn serve_pg(listener: TcpListener, service: Arc<SqlService>, stop: CancellationToken) -> Result<(), PgError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(PgError::NotLoopback(address));
    }
    let connections = Arc::new(Semaphore::new(service.limits.connections_max));
    let handlers = Arc::new(Handlers::new(&service));
    loop {
        let socket = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    continue;
                }
            },
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            tracing::warn!(limit = service.limits.connections_max, "too many SQL connections: one was refused");
            continue;
        };
        let (handlers, stop) = (Arc::clone(&handlers), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                ended = process_socket(socket, None, handlers) => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a SQL connection has ended");
                    }
                }
            }
            drop(permit);
        });
    }
}

struct Handlers {
    session: Arc<Session>,
    startup: Arc<Startup>,
    cancel: Arc<DefaultCancelHandler>,
}

impl Handlers {
    fn new(service: &SqlService) -> Handlers {
        let hooks: Vec<Arc<dyn QueryHook>> =
            vec![Arc::new(Guard), Arc::new(SetShowHook), Arc::new(TransactionStatementHook)];
        let connections = Arc::new(ConnectionManager::new());
        Handlers {
            session: Arc::new(Session {
                inner: DfSessionService::new_with_hooks(Arc::clone(&service.context), hooks),
                timeout: service.limits.statement_timeout,
                query_bytes_max: service.limits.query_bytes_max,
            }),
            startup: Arc::new(Startup { connections: Arc::clone(&connections) }),
            cancel: Arc::new(DefaultCancelHandler::new(connections)),
        }
    }
}

struct Startup {
    connections: Arc<ConnectionManager>,
}

impl NoopStartupHandler for Startup {
    fn connection_manager(&self) -> Option<Arc<ConnectionManager>> {
        Some(Arc::clone(&self.connections))
    }
}

struct LogErrors;

impl ErrorHandler for LogErrors {
    fn on_error<C: ClientInfo>(&self, _client: &C, error: &mut PgWireError) {
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
        Arc::clone(&self.startup)
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::clone(&self.cancel)
    }

    fn error_handler(&self) -> Arc<impl ErrorHandler> {
        Arc::new(LogErrors)
    }
}

/// The session of the library, with limits on what it runs and streams.
struct Session {
    inner: DfSessionService,
    timeout: Duration,
    query_bytes_max: usize,
}

fn user_error(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message)))
}

impl Session {
    /// SQLSTATE query_canceled.
    fn timed_out(timeout: Duration) -> PgWireError {
        user_error("57014", SqlError::Timeout(timeout).to_string())
    }

    fn limited(&self, response: Response) -> Response {
        let Response::Query(query) = response else { return response };
        let QueryResponse { command_tag, row_schema, data_rows, .. } = query;
        let timeout = self.timeout;
        let deadline = tokio::time::Instant::now() + timeout;
        let rows = futures::stream::unfold(Some(data_rows), move |state| async move {
            let mut rows = state?;
            match tokio::time::timeout_at(deadline, rows.next()).await {
                Ok(row) => row.map(|row| (row, Some(rows))),
                Err(_) => Some((Err(Session::timed_out(timeout)), None)),
            }
        });
        let mut limited = QueryResponse::new(row_schema, rows);
        limited.set_command_tag(&command_tag);
        Response::Query(limited)
    }

    async fn in_time<T>(&self, work: impl Future<Output = PgWireResult<T>>) -> PgWireResult<T> {
        tokio::time::timeout(self.timeout, work).await.map_err(|_| Session::timed_out(self.timeout))?
    }
}

#[async_trait]
impl SimpleQueryHandler for Session {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if query.len() > self.query_bytes_max {
            let error = SqlError::TooLong { bytes: query.len(), limit: self.query_bytes_max };
            return Err(user_error("54000", error.to_string()));
        }
        let responses = self.in_time(SimpleQueryHandler::do_query(&self.inner, client, query)).await?;
        Ok(responses.into_iter().map(|response| self.limited(response)).collect())
    }
}

#[async_trait]
impl ExtendedQueryHandler for Session {
    type Statement = <DfSessionService as ExtendedQueryHandler>::Statement;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        self.inner.query_parser()
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
        let running = ExtendedQueryHandler::do_query(&self.inner, client, portal, max_rows);
        Ok(self.limited(self.in_time(running).await?))
    }
}
