//! Real components for tests: Apache Kafka, an S3 server, and the program as users run it.
//!
//! Waiting is for a condition with a deadline, never for a time.

mod client;
mod kafka;
mod minio;
mod program;
mod proxy;
mod secured;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use client::{Admin, Guest, Writer};
pub use kafka::Kafka;
pub use minio::Minio;
pub use program::{Finished, Program, Running, binary};
pub use proxy::{Fault, Proxy};
pub use secured::{CERTIFICATE, KEY, Login, make_key};

/// The repository, as cargo tells a running test: a checkout may have moved
/// since this was compiled.
pub fn repository() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let root = package.ancestors().find(|folder| folder.join("Cargo.lock").exists());
    root.map_or(package.clone(), std::path::Path::to_owned)
}

/// Waits until `condition` gives a value.
///
/// # Errors
/// When it does not within `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    const PAUSE: Duration = Duration::from_millis(50);
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {limit:?}");
        }
        std::thread::sleep(PAUSE);
    }
}

/// A TCP port that is free at this moment.
///
/// # Errors
/// When the system gives none.
pub fn free_port() -> Result<u16> {
    // Below those that the system gives to outgoing connections, which would take it before it is used.
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 15_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(61);
    let next = || begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT + FIRST;
    let mut ports = (0..COUNT).filter_map(|_| u16::try_from(next()).ok());
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(free).context("no port is free")
}

/// Runs a script of the repository and gives its last line.
///
/// # Errors
/// When it fails.
pub fn script(name: &str) -> Result<String> {
    let path = repository().join("scripts").join(name);
    let output = std::process::Command::new(&path).env("CARGO_TARGET_DIR", program::target_folder()?).output()?;
    if !output.status.success() {
        bail!("{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned())
}
