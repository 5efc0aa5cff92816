//! Reports: the calendar rows of one period, as they were known at one moment.
//!
//! The same lake, catalog, period and moment give the same bytes: nothing of the
//! clock enters, and everything is sorted by its text.

use std::collections::BTreeMap;

use serde::Serialize;

pub(crate) mod period;
pub(crate) mod render;

/// What one period came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// As it was asked for, such as `2026-H1`.
    pub(crate) period: String,
    /// What was published later is left out.
    pub(crate) as_of: String,
    pub(crate) windows: Vec<Window>,
    pub(crate) kpis: Vec<Kpi>,
}

/// A calendar window of the catalog, and what the period is in its zone.
#[derive(Debug, Serialize)]
pub(crate) struct Window {
    pub(crate) name: String,
    pub(crate) zone: String,
    pub(crate) start: String,
    pub(crate) end: String,
}

/// A KPI with rows of the period.
#[derive(Debug, Serialize)]
pub(crate) struct Kpi {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) unit: String,
    pub(crate) rows: Vec<Row>,
}

/// One row of `kpis`; in this order they are sorted.
#[derive(Debug, Clone, PartialEq, PartialOrd, Serialize)]
pub(crate) struct Row {
    pub(crate) window_name: String,
    pub(crate) grouping_set: String,
    /// Dimension to value.
    pub(crate) group: BTreeMap<String, String>,
    pub(crate) window_start: String,
    pub(crate) window_end: String,
    pub(crate) value: Option<String>,
    pub(crate) numerator: String,
    pub(crate) denominator: String,
    pub(crate) n: i64,
    pub(crate) n_eff: Option<f64>,
    pub(crate) se: Option<f64>,
    pub(crate) ci_low: Option<f64>,
    pub(crate) ci_high: Option<f64>,
    pub(crate) status: String,
    pub(crate) revision: i64,
    pub(crate) reason: String,
    pub(crate) computed_at: String,
    pub(crate) fingerprint: String,
}
