//! What runs beside the pipeline: signals, the clock, logs, connections as they come.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// The system's time, µs since the epoch.
pub fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Directives of `RUST_LOG` that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("RUST_LOG `{directives}` can't be read: {reason}; such as `info` or `warn,satisflow_kafka=debug`")]
pub struct LogError {
    directives: String,
    reason: String,
}

/// Logs to standard error: by `directives` (of `RUST_LOG`) where there are any,
/// else `level` for this program and warnings of everything else.
///
/// # Errors
/// When the directives can't be read.
pub fn init_logs(level: &str, directives: Option<&str>) -> Result<(), LogError> {
    let filter = filter(level, directives)?;
    // A second call, in tests, finds the first one's logs and leaves them.
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).try_init();
    Ok(())
}

fn filter(level: &str, directives: Option<&str>) -> Result<EnvFilter, LogError> {
    match directives.filter(|text| !text.trim().is_empty()) {
        Some(text) => EnvFilter::try_new(text)
            .map_err(|error| LogError { directives: text.to_owned(), reason: error.to_string() }),
        None => Ok(EnvFilter::new(format!(
            "warn,satisflow={level},satisflow_pipeline={level},satisflow_kafka={level},satisflow_sql={level}"
        ))),
    }
}

/// Cancels `stop` on SIGTERM or SIGINT; a second signal ends the process at once.
///
/// # Errors
/// When the signals can't be listened to.
pub fn stop_on_signal(stop: CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut received = 0;
        loop {
            let code = tokio::select! {
                _ = terminate.recv() => 143,
                _ = interrupt.recv() => 130,
            };
            received += 1;
            if received > 1 {
                tracing::error!("a second signal: stopping at once; what is not committed is read again");
                std::process::exit(code);
            }
            tracing::info!("stopping in order; a second signal stops at once");
            stop.cancel();
        }
    });
    Ok(())
}

/// How long a listener waits that gets no socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The next connection to a listener, named `what` in the log. A connection that fails is its client's; where the
/// system has no socket to give, it is asked again, and clients wait.
pub async fn accept(listener: &TcpListener, what: &str) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return socket,
            Err(error) if is_the_clients(error.kind()) => {
                tracing::debug!(%error, "{what}: a connection has ended before it was taken")
            }
            Err(error) => {
                tracing::warn!(%error, "{what}: a connection waits; where open files are too many, raise `ulimit -n`");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_the_clients(error: ErrorKind) -> bool {
    matches!(error, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_that_can_not_be_read_are_an_error_and_none_are_the_default() {
        assert!(filter("info", Some("satisflow=loud")).is_err());
        assert!(filter("info", Some("warn,satisflow_kafka=debug")).is_ok());
        let default = filter("info", None).map(|filter| filter.to_string()).unwrap_or_default();
        assert!(default.contains("satisflow_pipeline=info") && default.contains("warn"), "{default}");
        assert_eq!(filter("info", Some(" ")).map(|filter| filter.to_string()).ok(), Some(default));
    }
}
