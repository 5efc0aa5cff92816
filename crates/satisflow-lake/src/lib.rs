//! The lake: the only crate that knows Delta.
//!
//! - `records` has one row for each record polled, and the commit that adds
//!   rows carries the position of every partition it touches.
//! - A commit goes through only if, in the very snapshot it builds on, each
//!   position equals the one where its rows start. Commits are written as
//!   exactly that snapshot's successor, so nothing can come between.
//! - After any error the log is read again: one's own commit id there is success.

mod alerts;
mod commit;
mod damage;
mod error;
mod failpoints;
mod lake;
mod live;
mod maintain;
mod position;
mod read;
mod rejects;
mod snapshots;
mod store;
mod table;

pub use alerts::AlertsView;
pub use commit::{KpisCommit, RecordsCommit};
pub use damage::Damage;
pub use error::{CommitError, LakeError};
pub use lake::{Lake, LakeOptions};
pub use live::{LatestTable, LiveRecords};
pub use maintain::{Compaction, Maintenance};
pub use position::{Positions, position_id};
pub use read::LakeView;
pub use rejects::{RejectFile, RejectsCommit, WrittenRejects};
pub use store::{STORE_OPTIONS, StoreOptions, store_of};
pub use table::Replaced;

/// Transaction of `alerts`: rows of `kpis` computed up to here, µs, are decided.
pub const DECIDED: &str = "satisflow/alerts/decided";
/// Prefix of a transaction of `alerts`, before a webhook's name: the sequence of
/// the last row that it was told of.
pub const TOLD: &str = "satisflow/alerts/told/";
/// Transaction of `kpis`: the version of `records` that is scored.
pub const SCORE: &str = "satisflow/score";
/// Prefix of a transaction of `kpis`, before a definition's fingerprint: its
/// ends up to here are published, µs.
pub const PUBLISHED: &str = "satisflow/published/";
/// Prefix as above: the input ended with an event of this time, µs, and every
/// window that held data was closed.
pub const CLOSED: &str = "satisflow/closed/";
/// Prefix as above: the definition was new to the lake, and its rows up to this
/// end, µs, are back-filled.
pub const BACKFILL: &str = "satisflow/backfill/";
