//! A catalog that holds: every name resolved, every expression planned.

use std::sync::Arc;

use satisflow_kpi::{Kept, Metric, Plan, Window};
use satisflow_rules::Threshold;

use crate::index::Index;

/// A dimension: rows are grouped by the text of an expression.
#[derive(Debug, Clone)]
pub struct Dimension {
    /// Its name, and its column in `kpis`.
    pub name: Arc<str>,
    /// SQL over the columns of an event.
    pub sql: String,
}

/// A measure with its macros expanded; every text is plain SQL.
#[derive(Debug, Clone)]
pub struct Measure {
    /// Its name.
    pub name: Arc<str>,
    /// Condition on an event, kinds included; `true` for all.
    pub filter: String,
    /// The value, a number; of an index what says the same as SQL.
    pub value: String,
    /// The index tree that gives the value.
    pub index: Option<Index>,
    /// The weight, a number.
    pub weight: String,
    /// The key that is counted distinct.
    pub distinct: Option<String>,
    /// The key of which only some events count, and which.
    pub keyed: Option<KeyedBy>,
    /// Whether it reads each answer of an event, not the event.
    pub per_answer: bool,
    /// Topics it reads; none: all.
    pub topics: Vec<Arc<str>>,
}

/// Of the events of a key only some count.
#[derive(Debug, Clone)]
pub struct KeyedBy {
    /// The key, a period in it.
    pub key: String,
    /// Which count.
    pub kept: Kept,
}

/// A KPI as documentation and metrics show it.
#[derive(Debug, Clone)]
pub struct MetricDefinition {
    /// Its name.
    pub name: Arc<str>,
    /// What it tells.
    pub description: String,
    /// Unit of the value.
    pub unit: String,
    /// How it is made; measures are indexes into [`Catalog::measures`].
    pub metric: Metric,
    /// Bounds that page. They are no part of its fingerprint.
    pub alerts: Vec<Threshold>,
}

/// A checked catalog.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// Dimensions, in the order of the engine's plan.
    pub dimensions: Vec<Dimension>,
    /// Measures, in the order of the engine's batches.
    pub measures: Vec<Measure>,
    /// Metrics, in the order of the plan's definitions.
    pub metrics: Vec<MetricDefinition>,
    /// What the engine computes.
    pub plan: Plan,
}

impl Catalog {
    /// Names of the dimensions, which are columns of `kpis`.
    pub fn dimension_names(&self) -> Vec<Arc<str>> {
        self.dimensions.iter().map(|d| Arc::clone(&d.name)).collect()
    }

    /// Whether any measure reads each answer.
    pub fn reads_answers(&self) -> bool {
        self.measures.iter().any(|measure| measure.per_answer)
    }

    /// The window of an index of the plan.
    pub fn window(&self, index: usize) -> &Window {
        &self.plan.windows[index]
    }
}
