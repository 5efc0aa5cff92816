//! What the audit takes from the formulas of the engine, since it is no rational: the numbers that go in are
//! computed by SQL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Decimal256Type, Int64Type, i256};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use satisflow_kpi::level::{p_value, sigma_level};
use satisflow_kpi::{Comparison, Metric, Side, Sums};

/// From the 12 decimals of a value to the 6 that are said.
const MILLIONTHS: i128 = 1_000_000;
/// A sum, and its decimals.
const SUMS: [(&str, i8); 6] = [("w", 6), ("numerator", 10), ("ww", 12), ("wwx", 16), ("wwxx", 20), ("denominator", 10)];
const SIGMA: &str = "sigma_level_of";
const P_VALUE: &str = "p_value_of";

/// Functions that the statements of the audit call; both give millionths.
pub(super) fn functions() -> [ScalarUDF; 2] {
    let sums = SUMS.map(|(_, scale)| DataType::Decimal256(76, scale));
    let of_side = || [DataType::Int64].into_iter().chain(sums.clone());
    let types = [DataType::Utf8, DataType::Utf8].into_iter().chain(of_side()).chain(of_side()).collect();
    [
        create_udf(
            SIGMA,
            vec![DataType::Decimal256(76, 0)],
            DataType::Int64,
            Volatility::Immutable,
            Arc::new(|arguments| by_row(arguments, sigma)),
        ),
        create_udf(
            P_VALUE,
            types,
            DataType::Int64,
            Volatility::Immutable,
            Arc::new(|arguments| by_row(arguments, tested)),
        ),
    ]
}

/// A call with a value, 12 decimals as a whole number.
pub(super) fn sigma_of(value: &str) -> String {
    format!("{SIGMA}({value})")
}

/// A call with the sums of two metrics, whose columns end in `from` and `of`.
pub(super) fn p_value_of(metric: Metric, side: Side, from: &str, of: &str) -> String {
    let sums = |end: &str| {
        let sum = |(name, scale): (&str, i8)| format!(", CAST({name}{end} AS DECIMAL(76,{scale}))");
        format!("events{end}{}", SUMS.map(sum).concat())
    };
    format!("{P_VALUE}('{}', '{}', {}, {})", metric.as_str(), side.as_str(), sums(from), sums(of))
}

/// The sums of a further metric that a comparison reads beside its numerator and denominator.
pub(super) fn more_sums(comparison: &Comparison, number: usize) -> String {
    let Comparison::PValue { .. } = comparison else { return String::new() };
    ["events", "w", "ww", "wwx", "wwxx"].map(|name| format!(", m{number}.{name} AS {name}{number}")).concat()
}

fn by_row(arguments: &[ColumnarValue], of: fn(&[ArrayRef], usize) -> Option<i128>) -> Result<ColumnarValue> {
    let columns = ColumnarValue::values_to_arrays(arguments)?;
    let rows = columns.first().map_or(0, |column| column.len());
    let one = |row: usize| {
        let is_there = columns.iter().all(|column| column.is_valid(row));
        is_there.then(|| of(&columns, row)).flatten().and_then(|value| i64::try_from(value / MILLIONTHS).ok())
    };
    Ok(ColumnarValue::Array(Arc::new((0..rows).map(one).collect::<Int64Array>())))
}

fn decimal(column: &ArrayRef, row: usize) -> i256 {
    column.as_primitive::<Decimal256Type>().value(row)
}

fn sigma(columns: &[ArrayRef], row: usize) -> Option<i128> {
    sigma_level(decimal(&columns[0], row).to_i128()?)
}

fn tested(columns: &[ArrayRef], row: usize) -> Option<i128> {
    let word = |index: usize| columns[index].as_string::<i32>().value(row);
    let metric = match word(0) {
        "share" => Metric::Share(0),
        "balance" => Metric::Balance(0),
        "ratio" => Metric::Ratio { numerator: 0, denominator: 0, per: 1 },
        _ => Metric::Mean(0),
    };
    let side = if word(1) == Side::Above.as_str() { Side::Above } else { Side::Below };
    let (from, of) = columns[2..].split_at(1 + SUMS.len());
    p_value((metric, &sums(from, row)?), (metric, &sums(of, row)?), side)
}

fn sums(columns: &[ArrayRef], row: usize) -> Option<Sums> {
    let whole = |index: usize| decimal(&columns[index], row);
    Some(Sums {
        n: columns[0].as_primitive::<Int64Type>().value(row),
        base_n: 0,
        w: whole(1).to_i128()?,
        wx: whole(2).to_i128()?,
        ww: whole(3).to_i128()?,
        wwx: whole(4),
        wwxx: whole(5),
        base: whole(6).to_i128()?,
    })
}
