//! Alerts of a metric.

use satisflow_document::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

/// An alert of a metric's final values, in every group of a grouping set: a bound (`below` or `above`), or one of
/// `drop`, `rise`, `chart`, `ewma`, `cusum`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAlert {
    /// Name of one of the metric's windows.
    pub window: String,
    /// One of the metric's grouping sets; default the total.
    #[serde(default)]
    pub grouping_set: Vec<String>,
    /// An alert begins below this; at most 6 decimals.
    #[serde(default)]
    pub below: Option<Decimal>,
    /// An alert begins above this.
    #[serde(default)]
    pub above: Option<Decimal>,
    /// It ends when the value is no longer beyond this; default the bound.
    #[serde(default)]
    pub clear: Option<Decimal>,
    /// A bound has to be passed in a slower window, too.
    #[serde(default)]
    pub burn: Option<RawBurn>,
    /// A significant fall against the windows before.
    #[serde(default)]
    pub drop: Option<RawChange>,
    /// A significant rise against the windows before.
    #[serde(default)]
    pub rise: Option<RawChange>,
    /// A control chart: p (of a share), u (of a ratio), or of means.
    #[serde(default)]
    pub chart: Option<RawChart>,
    /// An exponentially weighted mean of the last windows beyond its limit.
    #[serde(default)]
    pub ewma: Option<RawEwma>,
    /// A cumulative sum of the last windows beyond its limit.
    #[serde(default)]
    pub cusum: Option<RawCusum>,
    /// The bad side of `chart`, `ewma` and `cusum`; default `below`.
    #[serde(default)]
    pub side: Option<RawSide>,
    /// Share of false alarms among the groups that are told of at once, above 0 and below 1; default 0.05.
    #[serde(default)]
    pub q: Option<Decimal>,
    /// A test's alert ends when so many rows of its group, one after the other, show nothing; default 3.
    #[serde(default)]
    pub clear_after: Option<u32>,
    /// Fewer events page nobody; default the metric's.
    #[serde(default)]
    pub n_min: Option<u32>,
    /// For how long the value has to be beyond a bound; default 5m.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Label `severity` of the alert.
    #[serde(default)]
    #[schemars(extend("default" = "page"))]
    pub severity: RawSeverity,
}

/// The slower window of a bound.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBurn {
    /// Name of another of the metric's windows.
    pub slow: String,
}

/// A significant change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawChange {
    /// Windows before, which do not overlap, that are compared with; default 20.
    #[serde(default)]
    pub baseline: Option<u32>,
    /// Largest one-sided probability of such a change by chance; default 0.001.
    #[serde(default)]
    pub p_max: Option<Decimal>,
    /// Least change, in the metric's unit; default 0.
    #[serde(default)]
    pub by: Option<Decimal>,
}

/// A control chart.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawChart {
    /// Windows before that give the centre line; default 20.
    #[serde(default)]
    pub baseline: Option<u32>,
    /// Distance of the limit in standard deviations; default 3.
    #[serde(default)]
    pub sigmas: Option<Decimal>,
    /// Widens the limit by what windows vary more than their events explain (Laney's p'); default false.
    #[serde(default)]
    pub laney: Option<bool>,
}

/// An exponentially weighted moving average.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawEwma {
    /// Windows before that give the centre line; default 20.
    #[serde(default)]
    pub baseline: Option<u32>,
    /// Last windows in the mean; default 10.
    #[serde(default)]
    pub over: Option<u32>,
    /// Weight of the newest window, above 0, at most 1; default 0.3.
    #[serde(default)]
    pub lambda: Option<Decimal>,
    /// Distance of the limit in standard deviations; default 3.
    #[serde(default)]
    pub sigmas: Option<Decimal>,
}

/// A cumulative sum.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCusum {
    /// Windows before that give the centre line; default 20.
    #[serde(default)]
    pub baseline: Option<u32>,
    /// Last windows in the sum; default 10.
    #[serde(default)]
    pub over: Option<u32>,
    /// What is tolerated in each window, in standard deviations; default 0.5.
    #[serde(default)]
    pub k: Option<Decimal>,
    /// The sum beyond which the alert begins, in standard deviations; default 5.
    #[serde(default)]
    pub h: Option<Decimal>,
}

/// A side of the usual.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawSide {
    /// Low values are bad.
    Below,
    /// High values are bad.
    Above,
}

/// Who is told.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawSeverity {
    /// Someone is woken.
    #[default]
    Page,
    /// Someone looks at it in working hours.
    Warn,
}
