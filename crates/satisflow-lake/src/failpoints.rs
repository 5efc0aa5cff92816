//! Steps at which a test ends the process as a power cut would. Without the
//! feature `failpoints` there are none in the program.

#[cfg(not(feature = "failpoints"))]
use deltalake_core::{DeltaResult, DeltaTable};

/// Passes a step; ends the process here if `SATISFLOW_FAILPOINT` says so.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(part: &str, step: &str) {
    armed::reach(&format!("{part}-{step}"));
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn reach(_part: &str, _step: &str) {}

#[cfg(feature = "failpoints")]
mod within;

#[cfg(feature = "failpoints")]
pub(crate) use within::watched;

/// The table as it is.
#[cfg(not(feature = "failpoints"))]
pub(crate) async fn watched(state: DeltaTable, _part: &'static str, _operation: &str) -> DeltaResult<DeltaTable> {
    Ok(state)
}

/// Keeps records from running out before a named step of the slower scorer is
/// passed: whoever is to be killed must have work left.
#[cfg(feature = "failpoints")]
pub(crate) async fn pace() {
    armed::pace().await;
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
pub(crate) async fn pace() {}

#[cfg(feature = "failpoints")]
mod armed {
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Notify;

    /// The step, and how often it is passed before: `records-after-parquet:2`.
    const STEP: &str = "SATISFLOW_FAILPOINT";
    /// The file that gets the name of the step that ended the process.
    const HIT_FILE: &str = "SATISFLOW_FAILPOINT_HIT";

    /// Commits of records that may come between two passes of the step; the next
    /// one waits for a pass.
    const COMMITS_AHEAD_MAX: u64 = 5;
    /// The same for steps within maintenance: a round may find nothing to do.
    const COMMITS_A_ROUND_MAX: u64 = 1;
    /// What the names of such steps have between the table and the operation.
    const WITHIN: &str = "-in-";

    struct Armed {
        name: String,
        passes: u64,
        passed: AtomicU64,
        /// The step whose passes let commits of records go on, and how many.
        paced_by: String,
        commits_ahead_max: u64,
        commits_ahead: AtomicU64,
        go_on: Notify,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let text = std::env::var(STEP).ok()?;
        let (name, passes) = text.split_once(':')?;
        Some(Armed {
            name: name.to_owned(),
            passes: passes.parse().ok()?,
            passed: AtomicU64::new(0),
            paced_by: paced_by(name),
            commits_ahead_max: if name.contains(WITHIN) { COMMITS_A_ROUND_MAX } else { COMMITS_AHEAD_MAX },
            commits_ahead: AtomicU64::new(0),
            go_on: Notify::new(),
        })
    });

    /// The step whose passes let records go on: the named one, or one beside it
    /// that is passed also when there is nothing to write or to delete.
    fn paced_by(name: &str) -> String {
        // A publication without rows writes no Parquet, but an entry of the log.
        let Some((part, within)) = name.split_once(WITHIN) else { return name.replace("-parquet", "-log-entry") };
        let operation = within.split('-').next().unwrap_or_default();
        format!("{part}-before-{operation}")
    }

    pub(super) async fn pace() {
        let Some(armed) = ARMED.as_ref() else { return };
        while armed.commits_ahead.load(Ordering::Acquire) >= armed.commits_ahead_max {
            // A permit is kept if the pass comes between the look and the wait.
            armed.go_on.notified().await;
        }
        armed.commits_ahead.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn reach(name: &str) {
        let Some(armed) = ARMED.as_ref() else { return };
        if armed.paced_by == name {
            armed.commits_ahead.store(0, Ordering::Release);
            armed.go_on.notify_one();
        }
        if armed.name == name && armed.passed.fetch_add(1, Ordering::Relaxed) == armed.passes {
            end(name);
        }
    }

    fn end(name: &str) {
        if let Some(Err(error)) = std::env::var_os(HIT_FILE).map(|file| prove(&file, name)) {
            tracing::error!(name, %error, "the step's name could not be written");
        }
        // By a signal that no handler sees: nothing is unwound, nothing flushed.
        if signal_hook::low_level::raise(signal_hook::consts::SIGKILL).is_err() {
            std::process::abort();
        }
    }

    fn prove(file: &std::ffi::OsStr, name: &str) -> std::io::Result<()> {
        let mut file = std::fs::File::create(file)?;
        file.write_all(name.as_bytes())?;
        file.sync_all()
    }
}
