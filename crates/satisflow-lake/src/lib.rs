//! The lake: the only crate that knows Delta.
//!
//! - `records` has one row for each record polled, and the commit that adds
//!   rows carries the position of every partition it touches.
//! - A commit goes through only if, in the very snapshot it builds on, each
//!   position equals the one where its rows start. Commits are written as
//!   exactly that snapshot's successor, so nothing can come between.
//! - After any error the log is read again: one's own commit id there is success.

mod commit;
mod error;
mod lake;
mod live;
mod maintain;
mod read;
mod table;

pub use commit::{KpisCommit, RecordsCommit};
pub use error::{CommitError, LakeError};
pub use lake::{Lake, LakeOptions, Positions, position_id};
pub use live::{LatestTable, LiveRecords};
pub use maintain::Maintenance;

/// Transaction of `kpis`: the version of `records` that is scored.
pub const SCORE: &str = "satisflow/score";
/// Transaction of `kpis`: ends up to here are published, µs.
pub const WATERMARK: &str = "satisflow/watermark";
/// Transaction of `kpis`: the input ended with an event of this time, µs.
pub const CLOSED: &str = "satisflow/closed";
/// Prefix of the transaction that says a definition's history is published.
pub const DEFINITION: &str = "satisflow/kpi/";
