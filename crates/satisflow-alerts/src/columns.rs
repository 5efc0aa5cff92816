//! Rows of `kpis` from Arrow columns.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use satisflow_kpi::{Moments, Reason, Status};

use crate::rule::{Kind, Rule};
use crate::{KpiPoint, Point, Series};

/// Columns of `kpis` that [`kpi_points`] reads, beside those of dimensions.
pub const KPI_COLUMNS: [&str; 23] = [
    "fingerprint",
    "window_name",
    "grouping_set",
    "status",
    "reason",
    "window_start",
    "window_end",
    "computed_at",
    "revision",
    "n",
    "value",
    "n_eff",
    "se",
    "ci_low",
    "ci_high",
    "numerator",
    "denominator",
    "sum_w",
    "sum_wx",
    "numerator_n",
    "sum_w2",
    "sum_w2x",
    "sum_w2x2",
];

/// A series that some rule reads.
struct Wanted {
    fingerprint: Arc<str>,
    window: Arc<str>,
    grouping_set: Arc<str>,
    dimensions: Vec<Arc<str>>,
    is_ratio: bool,
}

fn wanted(rules: &[Rule]) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    for rule in rules {
        let slow = match &rule.kind {
            Kind::Burn { slow, .. } => Some(slow),
            _ => None,
        };
        for window in std::iter::once(&rule.window).chain(slow) {
            let grouping_set: Arc<str> = rule.grouping_set().into();
            let is =
                |w: &Wanted| w.fingerprint == rule.fingerprint && w.window == *window && w.grouping_set == grouping_set;
            if !all.iter().any(is) {
                let is_ratio = rule.metric.base_measure().is_some();
                let (fingerprint, window) = (Arc::clone(&rule.fingerprint), Arc::clone(window));
                all.push(Wanted { fingerprint, window, grouping_set, dimensions: rule.dimensions.clone(), is_ratio });
            }
        }
    }
    all
}

/// The rows of a batch of `kpis` that rules read, each with its `computed_at`, µs.
pub fn kpi_points(batch: &RecordBatch, rules: &[Rule]) -> Vec<(i64, KpiPoint)> {
    let wanted = wanted(rules);
    let text = |name: &str| batch[name].as_string::<i32>();
    let time = |name: &str| batch[name].as_primitive::<TimestampMicrosecondType>();
    let integer = |name: &str| batch[name].as_primitive::<Int64Type>();
    let float = |name: &str| batch[name].as_primitive::<Float64Type>();
    let (fingerprint, window, set) = (text("fingerprint"), text("window_name"), text("grouping_set"));
    let (status, reason) = (text("status"), text("reason"));
    let (start, end, computed) = (time("window_start"), time("window_end"), time("computed_at"));
    let (revision, n) = (integer("revision"), integer("n"));
    let value = batch["value"].as_primitive::<Decimal128Type>();
    let floats = ["n_eff", "se", "ci_low", "ci_high"].map(float);
    let moments = Moments::of(batch);
    let is = |want: &&Wanted, row: usize| {
        *want.fingerprint == *fingerprint.value(row)
            && *want.window == *window.value(row)
            && *want.grouping_set == *set.value(row)
    };
    let point = |row: usize, want: &Wanted| {
        let [n_eff, se, low, high] = floats.map(|column| column.is_valid(row).then(|| column.value(row)));
        let told_whole = status.value(row) != Status::Incomplete.as_str();
        Point {
            start: start.is_valid(row).then(|| start.value(row)),
            end: end.value(row),
            revision: revision.value(row),
            n: n.value(row),
            value: value.is_valid(row).then(|| value.value(row)),
            n_eff,
            se,
            interval: low.zip(high),
            sums: moments.sums(row, want.is_ratio),
            whole: told_whole && reason.value(row) != Reason::Withdrawn.as_str(),
        }
    };
    let mut found = Vec::new();
    for row in 0..batch.num_rows() {
        let Some(want) = wanted.iter().find(|want| is(want, row)) else { continue };
        let series = Series {
            fingerprint: Arc::clone(&want.fingerprint),
            window: Arc::clone(&want.window),
            grouping_set: Arc::clone(&want.grouping_set),
            group: want.dimensions.iter().map(|name| text_of(batch, name, row)).collect(),
        };
        let back_filled = reason.value(row) == Reason::BackFill.as_str();
        found.push((computed.value(row), KpiPoint { series, back_filled, point: point(row, want) }));
    }
    found
}

/// A text; empty where there is none.
pub(crate) fn text_of(batch: &RecordBatch, name: &str, row: usize) -> String {
    let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    column.filter(|column| column.is_valid(row)).map_or_else(String::new, |column| column.value(row).to_owned())
}
