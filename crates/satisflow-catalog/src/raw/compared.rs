//! Metrics that compare the groups of another one, or two of them, as they stand in YAML.

use satisflow_document::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

/// A ranking.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRank {
    /// Name of the metric whose values are ranked.
    pub of: String,
    /// Which value has the rank 1; default `high`.
    #[serde(default)]
    pub best: RawBest,
    /// Ranks the values shrunk; of a `mean`, `share` or `balance`.
    #[serde(default)]
    pub shrink: Option<RawShrink>,
    /// Ranks the value less that of this metric.
    #[serde(default)]
    pub minus: Option<String>,
    /// Ranks the difference times the value of this metric; only with `minus`.
    #[serde(default)]
    pub times: Option<String>,
}

/// How many places a group has climbed since a period before: below 0, it has fallen.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRankChange {
    /// Name of the metric whose values are ranked.
    pub of: String,
    /// Which value has the rank 1; default `high`.
    #[serde(default)]
    pub best: RawBest,
    /// So many periods of a calendar window before; default 1.
    #[serde(default)]
    pub ago: Option<u32>,
}

/// Which value is the best.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawBest {
    /// The highest.
    #[default]
    High,
    /// The lowest.
    Low,
}

/// How far a mean of few events is drawn toward another: (weight * toward + n * value) / (weight + n).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawShrink {
    /// So many events of the other mean, above 0, at most 6 decimals.
    pub weight: Decimal,
    /// The other mean, at most 6 decimals; default that of all groups together.
    #[serde(default)]
    pub toward: Option<Decimal>,
}

/// A value drawn toward the mean: (weight * toward + n * value) / (weight + n).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawShrunk {
    /// Name of a `mean`, `share` or `balance`.
    pub of: String,
    /// So many events of the other mean, above 0, at most 6 decimals.
    pub weight: Decimal,
    /// The other mean, at most 6 decimals; default that of all groups together.
    #[serde(default)]
    pub toward: Option<Decimal>,
}

/// The few groups that make most of a sum.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawVitalFew {
    /// Name of a `count` or `sum`.
    pub of: String,
    /// The share of the sum that they reach together, above 0 and at most 1; default 0.8.
    #[serde(default)]
    pub share: Option<Decimal>,
}

/// A difference: `minus`, `ago` or `others`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGap {
    /// Name of the metric that comes first.
    pub of: String,
    /// Name of the metric that is taken away, of the same group.
    #[serde(default)]
    pub minus: Option<String>,
    /// `true`: the value of all other groups together is taken away; of a `mean`, `share`, `balance` or `ratio`.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub others: bool,
    /// The value of so many periods of a calendar window before is taken away: 1 is the period before.
    #[serde(default)]
    pub ago: Option<u32>,
    /// `true`: the difference as a part of what is taken away, -0.45 for a fall by 45 %; with `minus` or `ago`.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub relative: bool,
}

/// One metric's value as a part of another's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawQuotient {
    /// Name of the metric above the line.
    pub of: String,
    /// Name of the metric below the line, of the same group; NULL where its value is not above 0.
    pub by: String,
}

/// A test of two metrics of one kind: two shares, two means, two balances, or two ratios of counts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPValue {
    /// Name of the metric after the change.
    pub of: String,
    /// Name of the metric before it, of the same group and of other events.
    pub from: String,
    /// What is looked for; default `fall`.
    #[serde(default)]
    pub direction: RawDirection,
}

/// A direction of change.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawDirection {
    /// To less.
    #[default]
    Fall,
    /// To more.
    Rise,
}

/// One metric of weighted ranks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRankPart {
    /// Name of the metric whose values are ranked.
    pub of: String,
    /// Its weight, above 0, at most 6 decimals.
    pub weight: Decimal,
    /// Which value has the rank 1; default `high`.
    #[serde(default)]
    pub best: RawBest,
}
