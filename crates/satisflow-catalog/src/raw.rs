//! The catalog as it stands in YAML, before any of it is believed.

use std::collections::BTreeMap;

use satisflow_document::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

mod alerts;
mod compared;
mod joins;
mod population;
mod scales;
mod validity;

pub use alerts::{RawAlert, RawBurn, RawChange, RawChart, RawCusum, RawEwma, RawSeverity, RawSide};
pub use compared::{
    RawBest, RawDirection, RawGap, RawPValue, RawQuotient, RawRank, RawRankChange, RawRankPart, RawShrink, RawShrunk,
    RawVitalFew,
};
pub use joins::{RawJoin, RawJoinField};
pub use population::{RawMargin, RawTarget, RawTargets};
pub use scales::{RawClass, RawLabels, RawScale, RawScaleVersion};
pub use validity::{RawRate, RawValidity};

/// A KPI catalog.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCatalog {
    /// Version of this format: 1.
    pub version: u32,
    /// IANA zone of calendar windows that name none; default `Asia/Shanghai`.
    #[serde(default)]
    pub zone: Option<String>,
    /// Name to scale, for `scale_value`, `scale_0_100`, `scale_class` and `in_class`.
    #[serde(default)]
    pub scales: BTreeMap<String, RawScale>,
    /// Name to driver graph, for `graph_layer` and `graph_share`: what is driven, to its drivers and the share that
    /// each of them has in it; these sum to 1.
    #[serde(default)]
    pub graphs: BTreeMap<String, RawGraph>,
    /// Name to SQL expression over an event's columns; the result is text.
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
    /// Name to window.
    #[serde(default)]
    pub windows: BTreeMap<String, RawWindow>,
    /// Name to measure.
    pub measures: BTreeMap<String, RawMeasure>,
    /// What metrics use that do not say otherwise.
    #[serde(default)]
    pub defaults: RawDefaults,
    /// Name to metric; each is a KPI.
    pub metrics: BTreeMap<String, RawMetric>,
}

/// What is driven, to its drivers with their shares.
pub type RawGraph = BTreeMap<String, BTreeMap<String, Decimal>>;

/// A window: `length` and `step`, or `calendar`, or `all`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawWindow {
    /// Length of a rolling window, such as `5m`, `1h`, `7d`.
    #[serde(default)]
    pub length: Option<String>,
    /// Distance of the ends of a rolling window; divides the length.
    #[serde(default)]
    pub step: Option<String>,
    /// Period of the civil calendar.
    #[serde(default)]
    pub calendar: Option<RawCalendarUnit>,
    /// How many periods of the calendar, up to the end of each: 6 with `calendar: month` for the last six months;
    /// default 1, at most 36.
    #[serde(default)]
    pub last: Option<u32>,
    /// IANA zone of a calendar window; default the catalog's.
    #[serde(default)]
    pub zone: Option<String>,
    /// `true`: everything, with a row at each UTC midnight.
    #[serde(default)]
    pub all: Option<bool>,
}

/// Periods of the civil calendar.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawCalendarUnit {
    /// A day.
    Day,
    /// An ISO week, from Monday.
    Week,
    /// A month.
    Month,
    /// A quarter.
    Quarter,
    /// Half a year.
    HalfYear,
    /// A year.
    Year,
}

/// An aggregate's input: which events, which value, which weight.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMeasure {
    /// Kinds of events it reads; all kinds when absent.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Topics it reads, as the configuration names them; all topics when absent.
    /// Windows of its KPIs close when these are complete, whatever the others do.
    #[serde(default)]
    pub topics: Vec<String>,
    /// `true`: it reads each entry of an event's `answers` by itself, whose item and text
    /// are the columns `item` and `answer`.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub per_answer: bool,
    /// SQL condition that an event must meet.
    #[serde(default)]
    pub filter: Option<String>,
    /// SQL expression of the value, at most 4 decimals; default 1. NULL is not counted.
    #[serde(default)]
    pub value: Option<String>,
    /// SQL expression of the time at which came to an end what an event began, such as a joined `end_at`; NULL while it
    /// goes on. For metrics with `survival`, `open_count` and `open_age`, in place of `value`.
    #[serde(default)]
    pub until: Option<String>,
    /// The value from 0 to 100 that the event's `answers` reach of an index tree, in place of `value`.
    #[serde(default)]
    pub index: Option<RawIndex>,
    /// SQL expression of the weight, at most 6 decimals, at least 0; default 1.
    #[serde(default)]
    pub weight: Option<String>,
    /// Name to a margin of the population that means of the measure speak for: with one margin they
    /// are post-stratified, with several raked.
    #[serde(default)]
    pub population: BTreeMap<String, RawMargin>,
    /// What the means of its strata have to reach, for metrics with `shortfall`.
    #[serde(default)]
    pub targets: Option<RawTargets>,
    /// Time after which an event weighs half in means, such as `7d`, by age in whole steps of a
    /// rolling window, each of which divides it.
    #[serde(default)]
    pub half_life: Option<String>,
    /// Name to other events of the same key, whose fields `value` and `weight` read as columns.
    #[serde(default)]
    pub joins: BTreeMap<String, RawJoin>,
    /// SQL expression of what metrics with `distinct` count, such as `customer`. An event
    /// where it is NULL is not counted.
    #[serde(default)]
    pub distinct: Option<String>,
    /// SQL expression of a key: only the first event of each key counts, by
    /// event time, then event id. Or the first few of each key and period.
    #[serde(default)]
    pub first_per: Option<RawKeyed>,
    /// The same with the last event of each key, or the last few.
    #[serde(default)]
    pub last_per: Option<RawKeyed>,
}

/// Of which events the first, or the last, count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawKeyed {
    /// SQL expression of the key, of which one event counts.
    Key(String),
    /// The key, and how many count.
    Few(RawFew),
}

/// How many events of a key count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFew {
    /// SQL expression of the key.
    pub key: String,
    /// Events that count; default 1.
    #[serde(default)]
    pub n: Option<u32>,
    /// They count anew in each period of the civil calendar; default: once for all.
    #[serde(default)]
    pub period: Option<RawCalendarUnit>,
    /// IANA zone of the period; default the catalog's.
    #[serde(default)]
    pub zone: Option<String>,
}

/// An index tree over `answers`: the weighted share of the best, in points from 0 to 100.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawIndex {
    /// Item of `answers` (or name of a group of items) to its part of the tree.
    pub items: BTreeMap<String, RawItem>,
    /// Least share of all weight that has to be answered; less is not counted. Default 0.7.
    #[serde(default)]
    pub answered_min: Option<Decimal>,
    /// What the weights of `items` sum to; default 1 or 100.
    #[serde(default)]
    pub total: Option<Decimal>,
}

/// A part of an index tree: `min` and `max`, or `levels`, or `scale`, or `items`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawItem {
    /// Its weight, above 0, at most 6 decimals; inside a group its share of the group.
    pub weight: Decimal,
    /// The worst answer, a number of at most 4 decimals.
    #[serde(default)]
    pub min: Option<Decimal>,
    /// The best answer.
    #[serde(default)]
    pub max: Option<Decimal>,
    /// Answer to what it gives, from 0 to 1.
    #[serde(default)]
    pub levels: Option<BTreeMap<String, Decimal>>,
    /// Name of a scale of labels, of which the worst gives 0 and the best 1.
    #[serde(default)]
    pub scale: Option<String>,
    /// The items of a group; their weights sum to 1.
    #[serde(default)]
    pub items: Option<BTreeMap<String, RawItem>>,
}

impl RawItem {
    /// Whether nothing is said of answers to itself.
    pub(crate) fn is_plain(&self) -> bool {
        self.min.is_none() && self.max.is_none() && self.levels.is_none() && self.scale.is_none()
    }
}

/// What metrics use that do not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDefaults {
    /// Names of windows; default all of the catalog.
    #[serde(default)]
    pub windows: Option<Vec<String>>,
    /// Lists of dimension names; default `[[]]`, the total.
    #[serde(default)]
    pub grouping_sets: Option<Vec<Vec<String>>>,
    /// Fewer events than this are `insufficient`; default 30.
    #[serde(default)]
    pub n_min: Option<u32>,
    /// Most groups that one window of a grouping set publishes; default 10000.
    #[serde(default)]
    pub groups_max: Option<u32>,
}

/// A metric: exactly one of `mean`, `share`, `balance`, `shortfall`, `ratio`, `count`, `sum`, `distinct`, `quantile`,
/// `survival`, `open_count`, `open_age`, or one that compares the groups of another metric, or two metrics: `rank`, `shrunk`, `total_share`,
/// `cumulative_share`, `vital_few`, `gap`, `quotient`, `rank_change`, `sigma`, `p_value`, `weighted_ranks`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMetric {
    /// Weighted mean of a measure.
    #[serde(default)]
    pub mean: Option<String>,
    /// Weighted share of a measure whose value is 0 or 1 (or a condition).
    #[serde(default)]
    pub share: Option<String>,
    /// Weighted mean of a measure whose value is 1, 0 or -1, in points from -100 to 100: NPS.
    #[serde(default)]
    pub balance: Option<String>,
    /// How far the means of a measure's strata stay below its `targets`: sum of weight x share x max(0, target - mean).
    #[serde(default)]
    pub shortfall: Option<String>,
    /// One measure's sum over another's.
    #[serde(default)]
    pub ratio: Option<RawRatio>,
    /// Number of events of a measure with a weight above 0.
    #[serde(default)]
    pub count: Option<String>,
    /// Weighted sum of a measure.
    #[serde(default)]
    pub sum: Option<String>,
    /// How many different keys a measure's `distinct` gives, of events with a weight above 0.
    #[serde(default)]
    pub distinct: Option<String>,
    /// Weighted quantile of a measure: the least value up to which a share of all weight lies.
    #[serde(default)]
    pub quantile: Option<RawQuantile>,
    /// Seconds after which a share of what began in the window is over, by the curve of Kaplan and Meier, of a measure
    /// with `until`.
    #[serde(default)]
    pub survival: Option<RawSurvival>,
    /// How much of what began in the window goes on at its end, of a measure with `until`.
    #[serde(default)]
    pub open_count: Option<String>,
    /// Mean seconds for which it has done so.
    #[serde(default)]
    pub open_age: Option<String>,
    /// Place of each group in the order of another metric's values, from 1; equal values share the least.
    #[serde(default)]
    pub rank: Option<RawRank>,
    /// Another metric's value, drawn toward the mean where it is of few events.
    #[serde(default)]
    pub shrunk: Option<RawShrunk>,
    /// Name of a `count` or `sum`: each group's part of the sum of all groups, from 0 to 1.
    #[serde(default)]
    pub total_share: Option<String>,
    /// Name of a `count` or `sum`: the part of the sum that a group makes with all larger ones.
    #[serde(default)]
    pub cumulative_share: Option<String>,
    /// 1 for the fewest groups that make a share of the sum together, from the largest on; else 0.
    #[serde(default)]
    pub vital_few: Option<RawVitalFew>,
    /// Another metric's value less a third one's, or less that of all other groups together.
    #[serde(default)]
    pub gap: Option<RawGap>,
    /// Another metric's value as a part of a third one's, such as people trained of the average headcount.
    #[serde(default)]
    pub quotient: Option<RawQuotient>,
    /// How many places each group has climbed in the order of another metric's values since a period before.
    #[serde(default)]
    pub rank_change: Option<RawRankChange>,
    /// Name of a `ratio` per 1,000,000 opportunities: its level of sigma, with the shift of 1.5, at 6 decimals.
    #[serde(default)]
    pub sigma: Option<String>,
    /// Probability of such a fall or rise from one metric to another where nothing has changed but by chance, at
    /// 6 decimals.
    #[serde(default)]
    pub p_value: Option<RawPValue>,
    /// Weighted sum of the ranks of several metrics, each from 0 for the worst group to 1 for the best.
    #[serde(default)]
    pub weighted_ranks: Option<Vec<RawRankPart>>,
    /// What it tells, in a sentence.
    #[serde(default)]
    pub description: Option<String>,
    /// Unit of the value, such as `points`.
    #[serde(default)]
    pub unit: Option<String>,
    /// Names of windows; of a metric that compares, default those of the metric that it reads.
    #[serde(default)]
    pub windows: Option<Vec<String>>,
    /// Lists of dimension names; `[]` is the total. Of a metric that compares, default those of the metric
    /// that it reads, without the total where groups are compared.
    #[serde(default)]
    pub grouping_sets: Option<Vec<Vec<String>>>,
    /// Fewer events than this are `insufficient`; of a metric that compares, default as of the metric that it reads.
    #[serde(default)]
    pub n_min: Option<u32>,
    /// Most groups that one window of a grouping set publishes, with the same default.
    #[serde(default)]
    pub groups_max: Option<u32>,
    /// What a window has to hold to be valid, of a mean, a share or a balance.
    #[serde(default)]
    pub validity: Option<RawValidity>,
    /// Alerts: bounds, and tests that tell a change from chance.
    #[serde(default)]
    pub alerts: Vec<RawAlert>,
}

/// The two measures of a ratio.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRatio {
    /// Measure above the line.
    pub numerator: String,
    /// Measure below the line.
    pub denominator: String,
    /// The value is per so many of the denominator, such as 1000 or 1000000; default 1.
    #[serde(default)]
    pub per: Option<u32>,
}

/// A measure, and which quantile of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawQuantile {
    /// The measure whose values are ranked.
    pub measure: String,
    /// The share of all weight, above 0 and below 1, at most 6 decimals: 0.5 is the median.
    pub at: Decimal,
    /// Significant digits that values are ranked by, 1 to 9 (3: an error of at most 0.5 %), so that few are
    /// held of many; without it every value is exact. A value's last digit is that of its 4th decimal.
    #[serde(default)]
    pub digits: Option<u32>,
}

/// A measure with `until`, and when how much of it is over.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSurvival {
    /// The measure.
    pub measure: String,
    /// The share that is over, above 0 and below 1, at most 6 decimals; default 0.5, the median.
    #[serde(default)]
    pub at: Option<Decimal>,
}
