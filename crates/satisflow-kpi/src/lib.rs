//! KPIs as exact functions of the set of accepted events.
//!
//! Facts in, rows out: this crate does no IO, reads no clock and spawns no
//! task. Callers hand it measured inputs ([`Batch`]) and a [`Frontier`]; it
//! hands back the rows that became final or changed.
//!
//! - Sums are integers of a fixed scale, so order never changes a digit.
//! - Every change is a signed delta, so retraction is addition.
//! - Floats appear in [`stats`] alone, derived from exact moments.

mod batch;
mod census;
mod definition;
mod engine;
mod exact;
mod expired;
mod filter;
mod groups;
mod identity;
mod keyed;
mod lane;
mod panes;
mod publish;
mod row;
mod rows;
mod snapshot;
pub mod stats;
mod sums;
mod window;

pub use batch::{Batch, MeasureInput, Sign};
pub use census::Census;
pub use definition::{Definition, Kept, Metric, Plan};
pub use engine::{Engine, EngineError, Frontier, RowKey};
pub use exact::{decimal_text, divide_half_even};
pub use expired::{PublishedRange, PublishedRows};
pub use filter::IdFilter;
pub use groups::NO_VALUE;
pub use identity::{Arrival, Identities, Position, Resolution};
pub use row::{Figures, KpiRow, Reason, Status, figures};
pub use rows::{RowsBuilder, kpis_schema};
pub use snapshot::SnapshotError;
pub use sums::{Overflow, Sums, VALUE_SCALE, WEIGHT_SCALE};
pub use window::{CalendarUnit, Window, WindowSpan};
