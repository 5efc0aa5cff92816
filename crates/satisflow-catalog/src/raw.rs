//! The catalog as it stands in YAML, before any of it is believed.

use std::collections::BTreeMap;

use satisflow_document::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

mod scales;

pub use scales::{RawClass, RawLabels, RawScale, RawScaleVersion};

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
    /// The value from 0 to 100 that the event's `answers` reach of an index tree, in place of `value`.
    #[serde(default)]
    pub index: Option<RawIndex>,
    /// SQL expression of the weight, at most 6 decimals, at least 0; default 1.
    #[serde(default)]
    pub weight: Option<String>,
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

/// A metric: exactly one of `mean`, `share`, `balance`, `ratio`, `count`, `sum`, `distinct`, `quantile`.
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
    /// What it tells, in a sentence.
    #[serde(default)]
    pub description: Option<String>,
    /// Unit of the value, such as `points`.
    #[serde(default)]
    pub unit: Option<String>,
    /// Names of windows.
    #[serde(default)]
    pub windows: Option<Vec<String>>,
    /// Lists of dimension names; `[]` is the total.
    #[serde(default)]
    pub grouping_sets: Option<Vec<Vec<String>>>,
    /// Fewer events than this are `insufficient`.
    #[serde(default)]
    pub n_min: Option<u32>,
    /// Most groups that one window of a grouping set publishes.
    #[serde(default)]
    pub groups_max: Option<u32>,
    /// Bounds that page: what `satisflow rules` makes rules for Prometheus of.
    #[serde(default)]
    pub alerts: Vec<RawAlert>,
}

/// A bound of a metric's final values, in every group of a grouping set: `below` or `above`.
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
    /// Fewer events page nobody; default the metric's.
    #[serde(default)]
    pub n_min: Option<u32>,
    /// For how long the value has to be beyond the bound; default 5m.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Label `severity` of the alert.
    #[serde(default)]
    #[schemars(extend("default" = "page"))]
    pub severity: RawSeverity,
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
}
