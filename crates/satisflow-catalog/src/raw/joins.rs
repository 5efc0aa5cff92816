//! Joins as they stand in YAML.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Other events of the same key, whose fields a measure's `value` and `weight` read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawJoin {
    /// Kinds of events that are joined; all kinds when absent.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Topics of events that are joined; all topics when absent.
    #[serde(default)]
    pub topics: Vec<String>,
    /// SQL condition that an event must meet to be joined.
    #[serde(default)]
    pub filter: Option<String>,
    /// SQL expression of the key, over the joined event.
    pub on: String,
    /// SQL expression of the key, over the measure's own event; default as `on`.
    #[serde(default)]
    pub to: Option<String>,
    /// How long before the measure's event a joined one lies at most, such as `365d`; none
    /// before it when only `after` is given, and at any time when neither is.
    #[serde(default)]
    pub before: Option<String>,
    /// How long after the measure's event a joined one lies at most.
    #[serde(default)]
    pub after: Option<String>,
    /// How far from the measure's event a joined one lies at least, such as `1s`, so that it is none of the same
    /// moment: not the event itself. Only with `before` or `after` alone.
    #[serde(default)]
    pub apart: Option<String>,
    /// Name to what is read of all joined events; `verdict` of the join `check` is the column `check_verdict`.
    pub fields: BTreeMap<String, RawJoinField>,
}

/// What is read of joined events: exactly one of `first`, `last`, `min`, `max`, `sum`, `count`, `distinct`, each
/// an SQL expression over a joined event. Events where it is NULL are passed over.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawJoinField {
    /// Of the first event, by event time, event id, then source.
    #[serde(default)]
    pub first: Option<String>,
    /// Of the last event.
    #[serde(default)]
    pub last: Option<String>,
    /// The least.
    #[serde(default)]
    pub min: Option<String>,
    /// The greatest.
    #[serde(default)]
    pub max: Option<String>,
    /// The sum; NULL of none.
    #[serde(default)]
    pub sum: Option<String>,
    /// How many events have one.
    #[serde(default)]
    pub count: Option<String>,
    /// How many different ones they have.
    #[serde(default)]
    pub distinct: Option<String>,
}
