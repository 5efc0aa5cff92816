//! A catalog that holds: every name resolved, every expression planned.

use std::sync::Arc;

use satisflow_alerts::Rule;
use satisflow_kpi::{Comparison, Kept, Metric, Plan, Weighting, Window};
use satisflow_rules::Threshold;

use crate::index::Index;
use crate::joins::Join;

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
    /// The value, a number; of an index, and of what lasts, what says the same as SQL.
    pub value: String,
    /// Whether it is how long something lasted.
    pub lasts: bool,
    /// The index tree that gives the value.
    pub index: Option<Index>,
    /// The weight, a number.
    pub weight: String,
    /// The key that is counted distinct.
    pub distinct: Option<String>,
    /// The key of which only some events count, and which.
    pub keyed: Option<KeyedBy>,
    /// What part of a population an event is, or of which target.
    pub represented: Option<Represented>,
    /// The population, the half-life and the targets that weigh its means.
    pub weighting: Option<Weighting>,
    /// Other events of the same key, whose fields `value` and `weight` read.
    pub joins: Vec<Join>,
    /// Whether it reads each answer of an event, not the event.
    pub per_answer: bool,
    /// Topics it reads; none: all.
    pub topics: Vec<Arc<str>>,
}

/// What part of a population an event is.
#[derive(Debug, Clone)]
pub struct Represented {
    /// How the population is divided.
    pub margins: Vec<Margin>,
    /// The number of an event's cell; NULL outside of the population.
    pub cell: String,
}

/// One way in which a population is divided, or that in which targets are given.
#[derive(Debug, Clone)]
pub struct Margin {
    /// Its name.
    pub name: Arc<str>,
    /// Where its expression stands in the measure.
    pub place: String,
    /// SQL of an event's category.
    pub by: String,
    /// The categories, in the order of their numbers.
    pub categories: Vec<String>,
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
    /// What it says of groups side by side, or of two metrics.
    pub compared: Option<Comparison>,
    /// Bounds that page. They are no part of its fingerprint.
    pub alerts: Vec<Threshold>,
    /// What is decided from its rows, bounds included. They are no part of its fingerprint either.
    pub rules: Vec<Rule>,
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

    /// Their labels in metrics: the names, but where metrics have such a label already.
    pub fn dimension_labels(&self) -> Vec<String> {
        self.dimensions.iter().map(|d| satisflow_rules::label(&d.name)).collect()
    }

    /// Whether any measure reads each answer.
    pub fn reads_answers(&self) -> bool {
        self.measures.iter().any(|measure| measure.per_answer)
    }

    /// All alerts of all metrics, in the order of metrics.
    pub fn alert_rules(&self) -> Vec<Rule> {
        self.metrics.iter().flat_map(|metric| metric.rules.clone()).collect()
    }

    /// The window of an index of the plan.
    pub fn window(&self, index: usize) -> &Window {
        &self.plan.windows[index]
    }
}
