//! Scales as they stand in YAML.

use std::collections::BTreeMap;

use satisflow_document::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

/// A scale: the same at all times, or its versions from old to new.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawScale {
    // First: a list, if it is empty, could be read as what has no field.
    /// Each is valid until the next.
    Versions(Vec<RawScaleVersion>),
    /// The same at all times, or from one time on.
    Always(RawScaleVersion),
}

/// What a scale is from some time on: `min` and `max`, or `labels`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawScaleVersion {
    /// Valid for events of this time and later: a date, which begins in the catalog's zone, or a time with
    /// its zone. Only the first version goes without.
    #[serde(default)]
    pub from: Option<String>,
    /// The worst number, at most 4 decimals.
    #[serde(default)]
    pub min: Option<Decimal>,
    /// The best number.
    #[serde(default)]
    pub max: Option<Decimal>,
    /// Whether only whole numbers are on the scale; default `true`. Else they have at most 4 decimals.
    #[serde(default)]
    pub whole: Option<bool>,
    /// What answers say, and what that counts.
    #[serde(default)]
    pub labels: Option<RawLabels>,
    /// Name of a class to what is in it. Nothing is in two of them.
    #[serde(default)]
    pub classes: BTreeMap<String, RawClass>,
}

/// The labels of a scale.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawLabels {
    /// From the best to the worst: of five the first counts 5 and the last 1.
    Ordered(Vec<String>),
    /// Label to number of at most 4 decimals.
    Numbered(BTreeMap<String, Decimal>),
}

/// What is in a class.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawClass {
    /// These numbers, or labels.
    Members(Vec<Decimal>),
    /// Every number of a range.
    Range(RawClassRange),
}

/// A part of a range; both ends belong to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawClassRange {
    /// Default: the scale's `min`.
    #[serde(default)]
    pub from: Option<Decimal>,
    /// Default: the scale's `max`.
    #[serde(default)]
    pub to: Option<Decimal>,
}
