//! The listener: TLS, limits of connections and of their time.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use satisflow_runtime::accept;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::line::Line;
use crate::names::{Names, only_own};

/// What clients ask for in TLS (ALPN).
const PROTOCOL: &[u8] = b"http/1.1";
/// A request's first line and headers.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// How long a client may take for TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one that is turned away is listened to.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Most that are told so at a time; others are hung up on, so that they take no more sockets.
const REFUSALS_MAX: usize = 32;
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// How the listener is reached, and its limits.
#[derive(Debug, Clone)]
pub struct Reach {
    /// TLS that it speaks; `None`: in the clear.
    pub tls: Option<Arc<ServerConfig>>,
    /// Names that requests may be sent to, beside this machine's, and beside addresses where it listens to a network.
    pub names: BTreeSet<String>,
    /// Whether it may listen to a network: everyone logs in, and TLS ends here or at a proxy.
    pub network: bool,
    /// Most connections.
    pub connections_max: usize,
    /// A connection that sends no request, or does not read its answer, is ended after this long.
    pub idle_timeout: Duration,
}

/// Serves until `stop`, and lets open requests end. What `opened` gives is dropped when the connection is closed;
/// `refused` is called for each connection beyond the limit.
///
/// # Errors
/// When the listener fails, or listens to a network where it may not.
pub async fn serve<T: Send + 'static>(
    listener: TcpListener,
    router: Router,
    reach: Reach,
    opened: impl Fn() -> T,
    refused: impl Fn(),
    stop: CancellationToken,
) -> Result<()> {
    let host = Host::new(&listener, router, &reach, stop)?;
    let [places, refusals] = [reach.connections_max, REFUSALS_MAX].map(|most| Arc::new(Semaphore::new(most)));
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            () = host.stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            socket = accept(&listener, "HTTP") => socket,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(limit = reach.connections_max, "too many HTTP connections: one was refused");
            refused();
            // With TLS nothing can be said so soon.
            if host.tls.is_none()
                && let Ok(place) = Arc::clone(&refusals).try_acquire_owned()
            {
                connections.spawn(turn_away(socket, place));
            }
            continue;
        };
        let (host, held) = (host.clone(), (place, opened()));
        connections.spawn(async move {
            if let Err(error) = host.converse(socket).await {
                tracing::debug!(error, "an HTTP connection has ended");
            }
            drop(held);
        });
    }
    // Nobody else is let in to wait for what does not come.
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Says that there are too many connections.
async fn turn_away(mut socket: TcpStream, _place: OwnedSemaphorePermit) {
    let told = async {
        socket.write_all(FULL).await?;
        socket.shutdown().await?;
        // What was sent and is not read would take the answer away from its reader.
        tokio::io::copy(&mut (&mut socket).take(HEADER_BYTES_MAX as u64), &mut tokio::io::sink()).await
    };
    let _: Result<std::io::Result<u64>, _> = tokio::time::timeout(REFUSAL_TIMEOUT, told).await;
}

/// What all connections share.
#[derive(Clone)]
struct Host {
    tls: Option<TlsAcceptor>,
    idle_timeout: Duration,
    router: Router,
    stop: CancellationToken,
}

impl Host {
    fn new(listener: &TcpListener, router: Router, reach: &Reach, stop: CancellationToken) -> Result<Host> {
        let address = listener.local_addr()?;
        let network = !address.ip().is_loopback();
        if network && !reach.network {
            bail!("{address} is not a loopback address: HTTP is served to a network only with `users` and TLS");
        }
        let names = Arc::new(Names::new(&reach.names, network));
        let router = router.layer(from_fn_with_state(names, only_own));
        Ok(Host { tls: reach.tls.as_deref().map(acceptor), idle_timeout: reach.idle_timeout, router, stop })
    }

    async fn converse(&self, socket: TcpStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        socket.set_nodelay(true)?;
        let line = Line::new(socket, self.idle_timeout);
        let Some(tls) = &self.tls else { return Ok(self.speak(line).await?) };
        let shaken = self.stop.run_until_cancelled(tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(line)));
        match shaken.await {
            Some(stream) => Ok(self.speak(stream??).await?),
            None => Ok(()),
        }
    }

    /// One request after another; the open one is answered when the service stops.
    async fn speak<S>(&self, stream: S) -> Result<(), hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut http = http1::Builder::new();
        // Also while no request has begun: hyper waits for the next header then.
        http.timer(TokioTimer::new()).header_read_timeout(self.idle_timeout).max_buf_size(HEADER_BYTES_MAX);
        let service = TowerToHyperService::new(self.router.clone());
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = self.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

fn acceptor(server: &ServerConfig) -> TlsAcceptor {
    let mut server = server.clone();
    server.alpn_protocols = vec![PROTOCOL.to_vec()];
    TlsAcceptor::from(Arc::new(server))
}
