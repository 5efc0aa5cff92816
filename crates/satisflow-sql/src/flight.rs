//! Arrow Flight SQL: results in columns, over gRPC.
//!
//! - The service of the other listeners answers: the same users, guard, views, timeout and memory.
//!   The library's own session (datafusion-flight-sql-server) plans what it is sent, and has none of these.
//! - No state is kept for clients: a token says who has logged in, a ticket and a prepared statement
//!   say what is asked. Whoever brings a ticket is who asks, and what it asks passes the guard again.
//! - Connections, statements, messages and headers are limited; a stream is sent as fast as it is read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::{Extension, Router, middleware};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use pgwire::tokio::tokio_rustls::TlsAcceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::access::Access;
use crate::metrics::{Listener, SqlMetrics};
use crate::service::SqlService;
use answers::Answers;
use door::{Door, Line};

mod answers;
mod door;
mod handle;
mod metadata;
mod running;
mod status;

/// Largest message of a client: a statement with its parameters.
const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Largest message to a client; batches are cut to 2 MiB, but one row is not cut.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Requests of one connection at the same time.
const REQUESTS_MAX: u32 = 64;
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// A client that answers no ping is gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What clients ask for in TLS (ALPN).
const PROTOCOL: &[u8] = b"h2";

/// Limits of the listener; those of statements are [`crate::SqlLimits`].
#[derive(Debug, Clone, Copy)]
pub struct FlightLimits {
    /// Most connections.
    pub connections_max: usize,
    /// Most statements that are planned or run at the same time.
    pub streams_max: usize,
    /// Most rows of one answer.
    pub rows_max: usize,
    /// How long the token of a login is good for.
    pub token_lifetime: Duration,
}

/// The listener can't be served.
#[derive(Debug, thiserror::Error)]
pub enum FlightError {
    /// It listens to a network without users or without TLS.
    #[error("{0} is not a loopback address: Flight SQL is served to a network only with `users` and `tls`")]
    Exposed(SocketAddr),
    /// The listener failed.
    #[error("Flight SQL listener: {0}")]
    Io(#[from] std::io::Error),
    /// The system has no random numbers for the key of logins.
    #[error("Flight SQL: no random numbers from the system")]
    Random,
}

/// Serves until `stop`; connections that are open then are dropped. Clients
/// live on the service's own threads: what they ask for slows nothing else.
///
/// # Errors
/// [`FlightError`].
pub async fn serve_flight(
    listener: TcpListener,
    service: Arc<SqlService>,
    access: Arc<Access>,
    limits: FlightLimits,
    stop: CancellationToken,
) -> Result<(), FlightError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() && !access.can_face_a_network() {
        return Err(FlightError::Exposed(address));
    }
    let host = Host {
        tls: access.tls_of(PROTOCOL),
        idle_timeout: service.limits.idle_timeout,
        router: router(&service, access, limits)?,
        metrics: Arc::clone(&service.metrics),
        stop,
    };
    let serving = service.threads().spawn(accept(listener, host, limits.connections_max));
    serving.await.map_err(|error| FlightError::Io(std::io::Error::other(error)))?
}

fn router(service: &Arc<SqlService>, access: Arc<Access>, limits: FlightLimits) -> Result<Router, FlightError> {
    let door = Arc::new(Door::new(access, limits.token_lifetime).ok_or(FlightError::Random)?);
    let answers = Answers::new(Arc::clone(service), Arc::clone(&door), limits);
    let server = FlightServiceServer::new(answers)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let admitted = middleware::from_fn_with_state(door, door::admit);
    Ok(Routes::new(server).into_axum_router().layer(admitted))
}

/// What all connections share.
#[derive(Clone)]
struct Host {
    tls: Option<TlsAcceptor>,
    idle_timeout: Option<Duration>,
    router: Router,
    metrics: Arc<SqlMetrics>,
    stop: CancellationToken,
}

async fn accept(listener: TcpListener, host: Host, connections_max: usize) -> Result<(), FlightError> {
    let connections = Arc::new(Semaphore::new(connections_max));
    loop {
        let socket = tokio::select! {
            () = host.stop.cancelled() => return Ok(()),
            socket = satisflow_runtime::accept(&listener, "Flight SQL") => socket,
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            tracing::warn!(limit = connections_max, "too many Flight SQL connections: one was refused");
            host.metrics.refuse(Listener::Flight);
            continue;
        };
        let counted = host.metrics.connection(Listener::Flight);
        let host = host.clone();
        tokio::spawn(async move {
            let line = Line::new();
            tokio::select! {
                () = host.stop.cancelled() => {}
                () = line.idle(host.idle_timeout) => tracing::debug!("an idle Flight SQL connection was ended"),
                ended = converse(socket, &host, line.clone()) => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "a Flight SQL connection has ended");
                    }
                }
            }
            drop((permit, counted));
        });
    }
}

async fn converse(socket: TcpStream, host: &Host, line: Line) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    socket.set_nodelay(true)?;
    let router = host.router.clone().layer(Extension(line));
    match &host.tls {
        Some(tls) => speak(tls.accept(socket).await?, router).await?,
        None => speak(socket, router).await?,
    }
    Ok(())
}

async fn speak<S>(stream: S, router: Router) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(REQUESTS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX);
    http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await
}
