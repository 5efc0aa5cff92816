//! Clients that are gone while their statement runs: nobody reads from the socket then.

use std::os::fd::AsFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;

/// What a client has sent before it left is read first, such as a request to cancel.
const GRACE: Duration = Duration::from_secs(1);

/// Waits until the other side of a socket has closed it, and a little longer.
pub(super) async fn gone(watch: std::io::Result<TcpStream>) {
    match watch {
        Ok(watch) => closed(&watch).await,
        Err(error) => {
            tracing::warn!(%error, "it will not be seen when a client is gone");
            std::future::pending::<()>().await;
        }
    }
    tokio::time::sleep(GRACE).await;
}

/// The same socket once more, to look at and not to read from.
pub(super) fn watch(socket: &TcpStream) -> std::io::Result<TcpStream> {
    TcpStream::from_std(std::net::TcpStream::from(socket.as_fd().try_clone_to_owned()?))
}

async fn closed(watch: &TcpStream) {
    loop {
        match watch.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {}
            Ok(_) | Err(_) => return,
        }
        // Not readable as far as this side is concerned: the next event is waited for.
        let _ = watch.try_io(Interest::READABLE, || Err::<(), _>(std::io::ErrorKind::WouldBlock.into()));
    }
}
