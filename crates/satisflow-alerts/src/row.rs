//! Rows of the table `alerts`: one for each change.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use satisflow_kpi::Level;
use sha2::{Digest, Sha256};

use crate::change::{Cause, Change, Standing, Transition};
use crate::columns::text_of;
use crate::rule::Rule;

/// A row of `alerts`.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    /// Counts the rows of the table, from 1.
    pub sequence: i64,
    /// Name of the alert.
    pub alert: String,
    /// How it is decided.
    pub rule: String,
    /// The bad side.
    pub side: String,
    /// Who is told.
    pub severity: String,
    /// The KPI.
    pub kpi: String,
    /// Name of the window.
    pub window: String,
    /// Dimensions of the group and their values.
    pub group: Vec<(String, String)>,
    /// What happens.
    pub transition: Transition,
    /// Why.
    pub cause: Cause,
    /// End of the window that opened it, µs.
    pub opened: i64,
    /// Start of the window, µs.
    pub window_start: Option<i64>,
    /// End of the window, µs.
    pub window_end: i64,
    /// Revision of its row.
    pub revision: i64,
    /// The value, 12 decimals.
    pub value: Option<i128>,
    /// Events.
    pub n: i64,
    /// `n_eff`, `se`, `ci_low`, `ci_high` of the row; `alert_statistic`, `alert_threshold`, `alert_p`, `alert_p_max`.
    pub figures: [Option<f64>; 8],
    /// Groups decided together.
    pub groups: i64,
    /// What it was compared with.
    pub baseline: Option<Level>,
    /// Fingerprint of the KPI's definition.
    pub fingerprint: String,
    /// `computed_at` of the rows of `kpis` that it follows from, µs.
    pub computed_at: i64,
}

/// The rows of changes, numbered from `sequence`.
pub fn alert_rows(rules: &[Rule], changes: &[Change], sequence: i64, computed_at: i64) -> Vec<AlertRow> {
    let row =
        |(sequence, change): (i64, &Change)| AlertRow::of(&rules[change.instance.rule], change, sequence, computed_at);
    (sequence..).zip(changes).map(row).collect()
}

impl AlertRow {
    fn of(rule: &Rule, change: &Change, sequence: i64, computed_at: i64) -> AlertRow {
        let evidence = &change.evidence;
        let point = &evidence.point;
        let (low, high) = point.interval.unzip();
        let names = rule.dimensions.iter().map(ToString::to_string);
        AlertRow {
            sequence,
            alert: rule.alert.clone(),
            rule: rule.kind.as_str().to_owned(),
            side: rule.side.as_str().to_owned(),
            severity: rule.severity.clone(),
            kpi: rule.kpi.clone(),
            window: rule.window.to_string(),
            group: names.zip(change.instance.group.iter().cloned()).collect(),
            transition: change.transition,
            cause: change.cause,
            opened: change.opened,
            window_start: point.start,
            window_end: point.end,
            revision: point.revision,
            value: point.value,
            n: point.n,
            figures: [
                point.n_eff,
                point.se,
                low,
                high,
                evidence.statistic,
                evidence.limit,
                evidence.p,
                evidence.p_limit,
            ],
            groups: i64::try_from(evidence.groups).unwrap_or(i64::MAX),
            baseline: evidence.baseline,
            fingerprint: rule.fingerprint.to_string(),
            computed_at,
        }
    }

    /// The value as a float.
    pub fn value_f64(&self) -> Option<f64> {
        self.value.map(|value| value as f64 / crate::VALUE_UNIT)
    }

    /// Names of the grouped dimensions, as in `kpis`.
    pub fn grouping_set(&self) -> String {
        self.group.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
    }

    /// Whose alert it is, whatever becomes of it.
    pub fn instance(&self) -> [String; 5] {
        let values: Vec<&str> = self.group.iter().map(|(_, value)| value.as_str()).collect();
        let group = values.join("\u{1f}");
        [self.alert.clone(), self.window.clone(), self.grouping_set(), self.severity.clone(), group]
    }

    /// Whether it is a row of a rule.
    pub fn is_of(&self, rule: &Rule) -> bool {
        self.alert == rule.alert
            && self.window == *rule.window
            && self.severity == rule.severity
            && self.grouping_set() == rule.grouping_set()
    }

    /// How its alert stands after it.
    pub fn standing(&self) -> Standing {
        match self.transition {
            Transition::Open | Transition::Update => Standing::Open { opened: self.opened, baseline: self.baseline },
            Transition::Clear => Standing::Closed(Some(self.window_end)),
        }
    }

    /// The row that says that the catalog no longer has the alert.
    pub fn removed(&self, sequence: i64, computed_at: i64) -> AlertRow {
        AlertRow { sequence, computed_at, transition: Transition::Clear, cause: Cause::Removed, ..self.clone() }
    }

    /// The same for the same change, however often it is computed.
    pub fn id(&self) -> String {
        let mut digest = Sha256::new();
        for part in self.instance() {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        digest.update(self.transition.as_str().as_bytes());
        for number in [self.opened, self.window_end, self.computed_at] {
            digest.update(number.to_be_bytes());
        }
        digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

const TEXTS: [&str; 11] = [
    "alert_id",
    "alert_name",
    "alert_rule",
    "alert_side",
    "alert_severity",
    "kpi",
    "window_name",
    "grouping_set",
    "alert_state",
    "alert_cause",
    "fingerprint",
];
const FLOATS: [&str; 8] =
    ["n_eff", "se", "ci_low", "ci_high", "alert_statistic", "alert_threshold", "alert_p", "alert_p_max"];
const BASELINE: [&str; 5] =
    ["baseline_value", "baseline_n", "baseline_n_eff", "baseline_deviation", "baseline_dispersion"];

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The schema of `alerts`: one nullable text column a dimension, after `grouping_set`. What is not a column of `kpis`
/// too begins with `alert_` or `baseline_`: dimensions such as `state` or `severity` have names of their own.
pub fn alerts_schema(dimensions: &[Arc<str>]) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let mut fields = vec![Field::new("alert_sequence", DataType::Int64, false)];
    fields.extend(TEXTS[..8].iter().map(|name| text(name)));
    fields.extend(dimensions.iter().map(|name| Field::new(&**name, DataType::Utf8, true)));
    fields.extend([text("alert_state"), text("alert_cause")]);
    fields.extend([
        Field::new("alert_opened_end", time_type(), false),
        Field::new("window_start", time_type(), true),
        Field::new("window_end", time_type(), false),
        Field::new("revision", DataType::Int64, false),
        Field::new("value", DataType::Decimal128(38, 12), true),
        Field::new("n", DataType::Int64, false),
    ]);
    fields.extend(FLOATS.iter().map(|name| Field::new(*name, DataType::Float64, true)));
    fields.push(Field::new("alert_groups", DataType::Int64, false));
    fields.extend(BASELINE.iter().map(|name| Field::new(*name, DataType::Float64, true)));
    fields.extend([text("fingerprint"), Field::new("computed_at", time_type(), false)]);
    Arc::new(Schema::new(fields))
}

/// Rows as a batch of `alerts`.
///
/// # Errors
/// When a value does not fit its column's 38 digits.
pub fn alerts_batch(rows: &[AlertRow], dimensions: &[Arc<str>]) -> Result<RecordBatch, ArrowError> {
    let schema = alerts_schema(dimensions);
    let columns = schema.fields().iter().map(|field| column(rows, field.name())).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema, columns)
}

fn column(rows: &[AlertRow], name: &str) -> Result<ArrayRef, ArrowError> {
    let integers =
        |of: fn(&AlertRow) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) };
    let times = |of: fn(&AlertRow) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    if let Some(at) = FLOATS.iter().position(|float| *float == name) {
        return Ok(Arc::new(rows.iter().map(|row| row.figures[at]).collect::<Float64Array>()));
    }
    if let Some(at) = BASELINE.iter().position(|float| *float == name) {
        let of = |row: &AlertRow| row.baseline.map(|level| numbers(&level)[at]);
        return Ok(Arc::new(rows.iter().map(of).collect::<Float64Array>()));
    }
    if TEXTS.contains(&name) {
        return Ok(Arc::new(StringArray::from_iter_values(rows.iter().map(|row| text(row, name)))));
    }
    Ok(match name {
        "alert_sequence" => integers(|row| row.sequence),
        "revision" => integers(|row| row.revision),
        "n" => integers(|row| row.n),
        "alert_groups" => integers(|row| row.groups),
        "alert_opened_end" => times(|row| Some(row.opened)),
        "window_start" => times(|row| row.window_start),
        "window_end" => times(|row| Some(row.window_end)),
        "computed_at" => times(|row| Some(row.computed_at)),
        "value" => {
            let values: Decimal128Array = rows.iter().map(|row| row.value).collect();
            Arc::new(values.with_precision_and_scale(38, 12)?)
        }
        dimension => {
            let of = |row: &AlertRow| row.group.iter().find(|(name, _)| name == dimension).map(|(_, v)| v.clone());
            Arc::new(rows.iter().map(of).collect::<StringArray>())
        }
    })
}

fn text(row: &AlertRow, name: &str) -> String {
    match name {
        "alert_id" => row.id(),
        "alert_name" => row.alert.clone(),
        "alert_rule" => row.rule.clone(),
        "alert_side" => row.side.clone(),
        "alert_severity" => row.severity.clone(),
        "kpi" => row.kpi.clone(),
        "window_name" => row.window.clone(),
        "grouping_set" => row.grouping_set(),
        "alert_state" => row.transition.as_str().to_owned(),
        "alert_cause" => row.cause.as_str().to_owned(),
        _ => row.fingerprint.clone(),
    }
}

fn numbers(level: &Level) -> [f64; 5] {
    [level.value, level.n, level.size, level.deviation, level.dispersion]
}

/// The rows of a batch of `alerts`, in its order.
pub fn rows_of(batch: &RecordBatch) -> Vec<AlertRow> {
    (0..batch.num_rows()).map(|row| row_of(batch, row)).collect()
}

fn row_of(batch: &RecordBatch, row: usize) -> AlertRow {
    let text = |name: &str| text_of(batch, name, row);
    let integer = |name: &str| batch[name].as_primitive::<Int64Type>().value(row);
    let time = |name: &str| {
        let column = batch[name].as_primitive::<TimestampMicrosecondType>();
        column.is_valid(row).then(|| column.value(row))
    };
    let float = |name: &str| {
        let column = batch[name].as_primitive::<Float64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let value = batch["value"].as_primitive::<Decimal128Type>();
    let level = match BASELINE.map(float) {
        [Some(value), Some(n), Some(size), Some(deviation), Some(dispersion)] => {
            Some(Level { value, n, size, deviation, dispersion })
        }
        _ => None,
    };
    let set = text("grouping_set");
    let names = set.split(',').filter(|name| !name.is_empty());
    AlertRow {
        sequence: integer("alert_sequence"),
        alert: text("alert_name"),
        rule: text("alert_rule"),
        side: text("alert_side"),
        severity: text("alert_severity"),
        kpi: text("kpi"),
        window: text("window_name"),
        group: names.map(|name| (name.to_owned(), text(name))).collect(),
        transition: Transition::of(&text("alert_state")),
        cause: Cause::of(&text("alert_cause")),
        opened: time("alert_opened_end").unwrap_or_default(),
        window_start: time("window_start"),
        window_end: time("window_end").unwrap_or_default(),
        revision: integer("revision"),
        value: value.is_valid(row).then(|| value.value(row)),
        n: integer("n"),
        figures: FLOATS.map(float),
        groups: integer("alert_groups"),
        baseline: level,
        fingerprint: text("fingerprint"),
        computed_at: time("computed_at").unwrap_or_default(),
    }
}
