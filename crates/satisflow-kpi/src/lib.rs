//! KPIs as exact functions of the set of accepted events.
//!
//! Facts in, rows out: this crate does no IO, reads no clock and spawns no
//! task. Callers hand it measured inputs ([`Batch`]) and a [`Frontier`]; it
//! hands back the rows that became final or changed.
//!
//! - Sums are integers of a fixed scale, so order never changes a digit.
//! - Every change is a signed delta, so retraction is addition.
//! - Floats appear in [`stats`] alone, derived from exact moments.

mod adopt;
mod batch;
mod census;
mod compare;
mod content;
mod definition;
mod engine;
mod exact;
mod expired;
mod filter;
mod groups;
mod identity;
mod joins;
mod keyed;
mod lane;
mod lasting;
pub mod level;
mod panes;
mod publish;
mod row;
mod rows;
mod snapshot;
pub mod stats;
mod sums;
mod told;
mod validity;
mod weighting;
mod window;

pub use batch::{Batch, MeasureInput, Sign};
pub use census::Census;
pub use definition::{Best, Comparison, Definition, Kept, Metric, Other, Plan, RankPart, Shrink, Side};
pub use engine::{Engine, EngineError, Frontier, RowKey};
pub use exact::{decimal_text, divide_half_even};
pub use expired::{Moments, PublishedRange, PublishedRows};
pub use filter::IdFilter;
pub use groups::NO_VALUE;
pub use identity::{Arrival, Identities, Position, Resolution};
pub use joins::{Aggregate, Anchor, Join, JoinInput, Joined, JoinedValue, Partner};
pub use level::{Family, Level};
pub use row::{Compared, Figures, KpiRow, Reason, Status, figures};
pub use rows::{RowsBuilder, kpis_schema};
pub use satisflow_stats::scoring::sample_size;
pub use satisflow_stats::weighted::decay_e12;
pub use snapshot::SnapshotError;
pub use sums::{Overflow, Sums, VALUE_SCALE, WEIGHT_SCALE};
pub use told::Told;
pub use validity::{Rate, Validity};
pub use weighting::{Population, StratumTarget, Weighted, Weighting};
pub use window::{CalendarUnit, Window, WindowSpan};
