//! What a wave of a survey has to hold, as it stands in YAML.

use std::collections::BTreeMap;

use satisflow_document::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

/// What a window has to hold: where it does not, its row is `not_representative`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawValidity {
    /// Fewest events, as planned.
    #[serde(default)]
    pub n_planned: Option<u32>,
    /// In place of `n_planned`: as many as tell a share within this, at 95 %, such as 0.05 for 385.
    #[serde(default)]
    pub error_max: Option<Decimal>,
    /// With `error_max`: out of so many in all, such as 2000 for 323.
    #[serde(default)]
    pub out_of: Option<u32>,
    /// Fewest events of each stratum of the measure's `population`; of several margins, of each cell that has any.
    #[serde(default)]
    pub stratum_n_min: Option<u32>,
    /// Largest design effect, n by n_eff, at least 1.
    #[serde(default)]
    pub design_effect_max: Option<Decimal>,
    /// Name to a rate that has to be reached: of responses, of valid ones, of answered items.
    #[serde(default)]
    pub rates: BTreeMap<String, RawRate>,
}

/// One measure's weighted sum over another's, at least as large as said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRate {
    /// Measure above the line.
    pub numerator: String,
    /// Measure below the line; a window without any of it is not valid.
    pub denominator: String,
    /// The least rate, above 0, at most 6 decimals.
    pub min: Decimal,
}
