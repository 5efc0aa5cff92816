//! Rows of the table `kpis`: values, moments, statistics and status.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Builder, Float64Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, i256};
use arrow::error::ArrowError;

use crate::definition::{Definition, Metric};
use crate::engine::Engine;
use crate::exact::{divide_half_even, push_decimal, to_f64};
use crate::stats::{self, Interval};
use crate::sums::Sums;

/// Why a row was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its window became final.
    Initial,
    /// An event came after its window was final.
    Late,
    /// An event was retracted, superseded or displaced by an earlier copy.
    Retraction,
    /// Its definition is new and its history was computed.
    BackFill,
    /// Its window has come to hold more groups than the limit: it is no longer
    /// shown. Its sums are zero.
    Withdrawn,
    /// It is open and changes with every event; never persisted.
    Live,
}

impl Reason {
    /// The text in `kpis.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Initial => "initial",
            Reason::Late => "late",
            Reason::Retraction => "retraction",
            Reason::BackFill => "back-fill",
            Reason::Withdrawn => "withdrawn",
            Reason::Live => "live",
        }
    }
}

/// How far a value can be relied on; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The window holds nothing.
    Stale,
    /// A source that it reads was waited for too long; what comes late revises it.
    Incomplete,
    /// A finer grouping set of the window has more groups than its limit.
    OverLimit,
    /// Fewer events than the definition's minimum.
    Insufficient,
    /// None of the above.
    Ok,
}

impl Status {
    /// The text in `kpis.status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Stale => "stale",
            Status::Incomplete => "incomplete",
            Status::OverLimit => "over_limit",
            Status::Insufficient => "insufficient",
            Status::Ok => "ok",
        }
    }
}

/// One row, by the engine's own indexes.
#[derive(Debug, Clone)]
pub struct KpiRow {
    /// Index into the plan's definitions.
    pub definition: usize,
    /// Index into the plan's grouping sets.
    pub set: usize,
    /// Index into the plan's windows.
    pub window: usize,
    /// The engine's number of the group.
    pub group: u32,
    /// Start of the window, µs; `None` for `all`.
    pub window_start: Option<i64>,
    /// End of the window, µs.
    pub window_end: i64,
    /// From 1; 0 for a live row.
    pub revision: u32,
    /// Why it was written.
    pub reason: Reason,
    /// Whether a finer grouping set has more groups than its limit.
    pub over_limit: bool,
    /// Whether a source was waited for too long.
    pub incomplete: bool,
    /// What it is made of.
    pub sums: Sums,
}

/// What a row says of its KPI.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// 12 decimals, half-even from the exact rational; `None` at a zero denominator.
    pub value: Option<i128>,
    /// 10 decimals.
    pub numerator: i128,
    /// 10 decimals.
    pub denominator: i128,
    /// Events with a weight above 0 (of a ratio's denominator).
    pub n: i64,
    /// Kish's effective sample size.
    pub n_eff: Option<f64>,
    /// Standard error of the value.
    pub se: Option<f64>,
    /// 95 % interval of the value.
    pub interval: Option<Interval>,
    /// How far the value can be relied on.
    pub status: Status,
}

const ONE: i128 = 10_000_000_000;
const WEIGHT_TO_NUMERATOR: i128 = 10_000;
const VALUE_UNIT: i128 = 1_000_000_000_000;

/// The figures of a row under its definition.
pub fn figures(definition: &Definition, row: &KpiRow) -> Figures {
    let sums = &row.sums;
    let (numerator, denominator, n) = fraction(definition.metric, sums);
    let scaled = i256::from_i128(numerator).wrapping_mul(i256::from_i128(VALUE_UNIT));
    let value = divide_half_even(scaled, i256::from_i128(denominator));
    let se = standard_error(definition.metric, sums);
    Figures {
        value,
        numerator,
        denominator,
        n,
        n_eff: stats::effective_n(sums),
        se,
        interval: interval(definition.metric, sums, se),
        status: status(definition, row, n),
    }
}

fn fraction(metric: Metric, sums: &Sums) -> (i128, i128, i64) {
    match metric {
        Metric::Mean(_) | Metric::Share(_) => (sums.wx, sums.w * WEIGHT_TO_NUMERATOR, sums.n),
        Metric::Ratio { .. } => (sums.wx, sums.base, sums.base_n),
        Metric::Count(_) => (i128::from(sums.n) * ONE, ONE, sums.n),
        Metric::Sum(_) => (sums.wx, ONE, sums.n),
    }
}

fn standard_error(metric: Metric, sums: &Sums) -> Option<f64> {
    match metric {
        Metric::Mean(_) | Metric::Share(_) => stats::standard_error(sums),
        Metric::Ratio { .. } if is_count_over_base(sums) => {
            Some(stats::poisson_error(sums.n as f64, sums.base as f64 / ONE as f64))
        }
        Metric::Ratio { .. } | Metric::Count(_) | Metric::Sum(_) => None,
    }
}

/// A count has Poisson's error and interval only if each event counts once.
fn is_count_over_base(sums: &Sums) -> bool {
    sums.base > 0 && sums.wx == i128::from(sums.n) * ONE
}

fn interval(metric: Metric, sums: &Sums, se: Option<f64>) -> Option<Interval> {
    let ratio = |numerator: i128, denominator: i128| numerator as f64 / denominator as f64;
    match metric {
        Metric::Mean(_) => se.map(|se| stats::normal(ratio(sums.wx, sums.w * WEIGHT_TO_NUMERATOR), se)),
        Metric::Share(_) => {
            stats::effective_n(sums).map(|n| stats::wilson(ratio(sums.wx, sums.w * WEIGHT_TO_NUMERATOR), n))
        }
        Metric::Ratio { .. } if is_count_over_base(sums) => Some(stats::garwood(sums.n as f64, ratio(sums.base, ONE))),
        Metric::Ratio { .. } | Metric::Count(_) | Metric::Sum(_) => None,
    }
}

fn status(definition: &Definition, row: &KpiRow, n: i64) -> Status {
    if row.reason == Reason::Withdrawn {
        Status::OverLimit
    } else if row.sums.is_zero() {
        Status::Stale
    } else if row.incomplete {
        Status::Incomplete
    } else if row.over_limit {
        Status::OverLimit
    } else if n < definition.n_min {
        Status::Insufficient
    } else {
        Status::Ok
    }
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The schema of `kpis`: one nullable text column a dimension, after `grouping_set`.
pub fn kpis_schema(dimensions: &[Arc<str>]) -> SchemaRef {
    let required = |name: &str, kind: DataType| Field::new(name, kind, false);
    let optional = |name: &str, kind: DataType| Field::new(name, kind, true);
    let mut fields = vec![
        required("kpi", DataType::Utf8),
        required("window_name", DataType::Utf8),
        required("grouping_set", DataType::Utf8),
    ];
    fields.extend(dimensions.iter().map(|name| optional(name, DataType::Utf8)));
    fields.extend([
        optional("window_start", time_type()),
        required("window_end", time_type()),
        required("revision", DataType::Int64),
        optional("value", DataType::Decimal128(38, 12)),
        required("numerator", DataType::Decimal128(38, 10)),
        required("denominator", DataType::Decimal128(38, 10)),
        required("n", DataType::Int64),
        required("sum_w", DataType::Decimal128(38, 6)),
        required("sum_wx", DataType::Decimal128(38, 10)),
        required("sum_w2", DataType::Utf8),
        required("sum_w2x", DataType::Utf8),
        required("sum_w2x2", DataType::Utf8),
        optional("n_eff", DataType::Float64),
        optional("se", DataType::Float64),
        optional("ci_low", DataType::Float64),
        optional("ci_high", DataType::Float64),
        required("status", DataType::Utf8),
        required("reason", DataType::Utf8),
        required("fingerprint", DataType::Utf8),
        required("computed_at", time_type()),
    ]);
    Arc::new(Schema::new(fields))
}

/// Builds a batch of `kpis` rows.
#[derive(Debug)]
pub struct RowsBuilder {
    texts: Vec<StringBuilder>,
    dimensions: Vec<StringBuilder>,
    times: Vec<TimestampMicrosecondBuilder>,
    decimals: Vec<Decimal128Builder>,
    integers: Vec<Int64Builder>,
    floats: Vec<Float64Builder>,
    names: Vec<Arc<str>>,
    /// Texts of the moments of the row at hand.
    moments: [String; 3],
    /// Names of the grouping sets met so far.
    sets: BTreeMap<usize, String>,
    rows: usize,
}

const TEXTS: [&str; 9] =
    ["kpi", "window_name", "grouping_set", "sum_w2", "sum_w2x", "sum_w2x2", "status", "reason", "fingerprint"];
const TIMES: [&str; 3] = ["window_start", "window_end", "computed_at"];
const DECIMALS: [(&str, i8); 5] = [("value", 12), ("numerator", 10), ("denominator", 10), ("sum_w", 6), ("sum_wx", 10)];
const INTEGERS: [&str; 2] = ["revision", "n"];
const FLOATS: [&str; 4] = ["n_eff", "se", "ci_low", "ci_high"];

impl RowsBuilder {
    /// A builder for the dimensions of a plan.
    pub fn new(dimensions: &[Arc<str>]) -> RowsBuilder {
        let time = || TimestampMicrosecondBuilder::new().with_timezone("UTC");
        let decimal = |scale| Decimal128Builder::new().with_data_type(DataType::Decimal128(38, scale));
        RowsBuilder {
            texts: TEXTS.iter().map(|_| StringBuilder::new()).collect(),
            dimensions: dimensions.iter().map(|_| StringBuilder::new()).collect(),
            times: TIMES.iter().map(|_| time()).collect(),
            decimals: DECIMALS.iter().map(|(_, scale)| decimal(*scale)).collect(),
            integers: INTEGERS.iter().map(|_| Int64Builder::new()).collect(),
            floats: FLOATS.iter().map(|_| Float64Builder::new()).collect(),
            names: dimensions.to_vec(),
            moments: Default::default(),
            sets: BTreeMap::new(),
            rows: 0,
        }
    }

    /// Number of rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row of `engine`, computed at `computed_at` (µs).
    pub fn append(&mut self, engine: &Engine, row: &KpiRow, computed_at: i64) {
        let plan = engine.plan();
        let definition = &plan.definitions[row.definition];
        let figures = figures(definition, row);
        for (index, (value, scale)) in
            [(i256::from_i128(row.sums.ww), 12), (row.sums.wwx, 16), (row.sums.wwxx, 20)].into_iter().enumerate()
        {
            self.moments[index].clear();
            push_decimal(&mut self.moments[index], value, scale);
        }
        let [w2, w2x, w2x2] = &self.moments;
        let set = self.sets.entry(row.set).or_insert_with(|| engine.set_name(row.set));
        let texts: [&str; 9] = [
            &definition.name,
            &plan.windows[row.window].name,
            set,
            w2,
            w2x,
            w2x2,
            figures.status.as_str(),
            row.reason.as_str(),
            &definition.fingerprint,
        ];
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.append_value(text));
        let values = engine.groups().values(row.set, row.group);
        self.dimensions.iter_mut().zip(values).for_each(|(column, value)| column.append_option(value));
        let times = [row.window_start, Some(row.window_end), Some(computed_at)];
        self.times.iter_mut().zip(times).for_each(|(column, time)| column.append_option(time));
        let decimals =
            [figures.value, Some(figures.numerator), Some(figures.denominator), Some(row.sums.w), Some(row.sums.wx)];
        self.decimals.iter_mut().zip(decimals).for_each(|(column, value)| column.append_option(value));
        let integers = [i64::from(row.revision), figures.n];
        self.integers.iter_mut().zip(integers).for_each(|(column, value)| column.append_value(value));
        let (low, high) = (figures.interval.map(|i| i.low), figures.interval.map(|i| i.high));
        let floats = [figures.n_eff, figures.se, low, high];
        self.floats.iter_mut().zip(floats).for_each(|(column, value)| column.append_option(value));
        self.rows += 1;
    }

    /// The rows as a batch; the builder is empty again.
    ///
    /// # Errors
    /// When a value does not fit its column's 38 digits.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let schema = kpis_schema(&self.names);
        let columns = schema.fields().iter().map(|field| self.column(field.name())).collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(schema, columns)
    }

    fn column(&mut self, name: &str) -> Result<ArrayRef, ArrowError> {
        let find = |names: &[&str]| names.iter().position(|n| *n == name);
        if let Some(index) = self.names.iter().position(|dimension| **dimension == *name) {
            return Ok(Arc::new(self.dimensions[index].finish()));
        }
        if let Some(index) = find(&TEXTS) {
            return Ok(Arc::new(self.texts[index].finish()));
        }
        if let Some(index) = find(&TIMES) {
            return Ok(Arc::new(self.times[index].finish()));
        }
        if let Some(index) = DECIMALS.iter().position(|(n, _)| *n == name) {
            let array = self.decimals[index].finish();
            array.validate_decimal_precision(38)?;
            return Ok(Arc::new(array));
        }
        if let Some(index) = find(&INTEGERS) {
            return Ok(Arc::new(self.integers[index].finish()));
        }
        let index = find(&FLOATS).ok_or_else(|| ArrowError::SchemaError(format!("no column `{name}`")))?;
        Ok(Arc::new(self.floats[index].finish()))
    }
}

impl Figures {
    /// The value as the nearest float, for gauges.
    pub fn value_f64(&self) -> Option<f64> {
        self.value.map(|value| to_f64(i256::from_i128(value)) / VALUE_UNIT as f64)
    }
}
