//! Alerts, decided from the rows of `kpis`.
//!
//! A [`Decider`] takes the rows of one commit after the other, as they stand in
//! the table, and gives what changes: an alert opens, what it rests on is
//! restated, it clears. The same rows give the same changes, whoever computes
//! them and whenever; no clock, no IO.
//!
//! - The rows of one end are decided together, so that the share of false
//!   alarms is controlled over all groups (Benjamini and Hochberg, F17).
//! - A window is compared with the windows before it that do not overlap it.
//! - Formulas are satisflow-stats': F13 to F17.

mod change;
mod columns;
mod decider;
mod evaluate;
mod row;
mod rule;

pub use change::{Cause, Change, Instance, Standing, Transition};
pub use columns::{KPI_COLUMNS, kpi_points};
pub use decider::Decider;
pub use evaluate::Evidence;
pub use row::{AlertRow, alert_rows, alerts_batch, alerts_schema, rows_of};
pub use rule::{Kind, Rule};
pub use satisflow_kpi::{Level, Side};

use std::sync::Arc;

use satisflow_kpi::Sums;

/// A published row, as far as alerts read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Start of the window, µs; `None` for `all`.
    pub start: Option<i64>,
    /// End of the window, µs.
    pub end: i64,
    /// From 1.
    pub revision: i64,
    /// Events.
    pub n: i64,
    /// The value, 12 decimals.
    pub value: Option<i128>,
    /// Kish's effective sample size.
    pub n_eff: Option<f64>,
    /// Standard error.
    pub se: Option<f64>,
    /// 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// Exact moments.
    pub sums: Sums,
    /// Whether it tells of all its events: not of a source that is waited for, nor withdrawn.
    pub whole: bool,
}

/// Whose row it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// Fingerprint of the definition.
    pub fingerprint: Arc<str>,
    /// Name of the window.
    pub window: Arc<str>,
    /// Names of the grouped dimensions, comma-separated.
    pub grouping_set: Arc<str>,
    /// Values of the grouped dimensions, in the order of their names.
    pub group: Vec<String>,
}

/// A row of `kpis`.
#[derive(Debug, Clone, PartialEq)]
pub struct KpiPoint {
    /// Whose row it is.
    pub series: Series,
    /// Whether it belongs to a history that was computed at once: such rows are compared with, and page nobody.
    pub back_filled: bool,
    /// What it says.
    pub point: Point,
}

const VALUE_UNIT: f64 = 1e12;

impl Point {
    /// The value as a float.
    pub fn value_f64(&self) -> Option<f64> {
        self.value.map(|value| value as f64 / VALUE_UNIT)
    }
}
