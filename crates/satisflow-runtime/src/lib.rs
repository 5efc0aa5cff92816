//! What runs beside the pipeline: signals, the clock, logs.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// The system's time, µs since the epoch.
pub fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Logs to standard error: `RUST_LOG` if set, else `level` for this program and
/// warnings of everything else.
pub fn init_logs(level: &str) {
    let default =
        format!("warn,satisflow={level},satisflow_pipeline={level},satisflow_kafka={level},satisflow_sql={level}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // A second call, in tests, finds the first one's logs and leaves them.
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).try_init();
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
            tracing::info!("stopping: what is accepted will be committed");
            stop.cancel();
        }
    });
    Ok(())
}
