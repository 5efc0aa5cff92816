//! Rows of the table `kpis` as Arrow columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Builder, Float64Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, i256};
use arrow::error::ArrowError;

use crate::engine::Engine;
use crate::exact::push_decimal;
use crate::row::{KpiRow, figures};

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
        optional("numerator_n", DataType::Int64),
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
const INTEGERS: [&str; 3] = ["revision", "n", "numerator_n"];
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
        let numerator_n = definition.metric.base_measure().map(|_| row.sums.n);
        let integers = [Some(i64::from(row.revision)), Some(figures.n), numerator_n];
        self.integers.iter_mut().zip(integers).for_each(|(column, value)| column.append_option(value));
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
