//! Populations as they stand in YAML.

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
