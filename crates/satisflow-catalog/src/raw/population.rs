//! Populations and targets as they stand in YAML.

use std::collections::BTreeMap;

use satisflow_document::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

/// One way in which a population is divided.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMargin {
    /// SQL expression of an event's category, such as `region`; text.
    pub by: String,
    /// Category to how much of the population is in it, above 0: whole numbers, or shares that sum
    /// to 1 or 100, of at most 6 decimals. An event of another category, or of none, is not counted.
    pub counts: BTreeMap<String, Decimal>,
}

/// What the means of a measure's strata have to reach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTargets {
    /// SQL expression of an event's stratum, such as `attributes['process']`; text.
    pub by: String,
    /// Stratum to its target. An event of another stratum, or of none, is not counted.
    pub of: BTreeMap<String, RawTarget>,
}

/// What the mean of a stratum has to reach, and what each point below it counts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTarget {
    /// The mean to reach, at most 4 decimals.
    pub target: Decimal,
    /// Weight of the stratum beside the others, above 0, at most 6 decimals; default 1.
    #[serde(default)]
    pub weight: Option<Decimal>,
    /// How much of what it lacks falls to whom the metric is about, above 0 and at most 1, at most 6 decimals;
    /// default 1. It multiplies the weight.
    #[serde(default)]
    pub share: Option<Decimal>,
}
