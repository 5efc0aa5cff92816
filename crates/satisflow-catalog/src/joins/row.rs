//! An event's columns as bytes, and back: what is kept of an event to measure it anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int32Array, Int64Array, MapArray, MapBuilder,
    MapFieldNames, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, Int64Type, Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

/// A column's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Cell {
    Text(String),
    Number(i128),
    Map(Vec<(String, Option<String>)>),
}

/// Columns that hold something, by index.
type Row = Vec<(u16, Cell)>;

/// Some columns of an event, by index.
pub(crate) fn encoded(events: &RecordBatch, row: usize, columns: &BTreeSet<usize>) -> Result<Box<[u8]>, ArrowError> {
    let filled = columns.iter().filter_map(|index| {
        let cell = cell(events.columns().get(*index)?, row)?;
        Some((u16::try_from(*index).ok()?, cell))
    });
    let bytes = postcard::to_stdvec(&filled.collect::<Row>()).map_err(|error| damaged(&error))?;
    Ok(bytes.into())
}

fn damaged(error: &postcard::Error) -> ArrowError {
    ArrowError::ParseError(format!("the columns of an event that is joined can't be kept: {error}"))
}

/// What a column holds; what no expression reads of an accepted event (bytes) is as if it were NULL.
fn cell(column: &ArrayRef, row: usize) -> Option<Cell> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => Some(Cell::Text(column.as_string::<i32>().value(row).to_owned())),
        DataType::Timestamp(..) => {
            Some(Cell::Number(column.as_primitive::<TimestampMicrosecondType>().value(row).into()))
        }
        DataType::Decimal128(..) => Some(Cell::Number(column.as_primitive::<Decimal128Type>().value(row))),
        DataType::Int64 => Some(Cell::Number(column.as_primitive::<Int64Type>().value(row).into())),
        DataType::Int32 => Some(Cell::Number(column.as_primitive::<Int32Type>().value(row).into())),
        DataType::Boolean => Some(Cell::Number(column.as_boolean().value(row).into())),
        DataType::Map(..) => Some(Cell::Map(entries(column.as_map(), row))),
        _ => None,
    }
}

fn entries(map: &MapArray, row: usize) -> Vec<(String, Option<String>)> {
    let entries = map.value(row);
    let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
    let value = |at: usize| values.is_valid(at).then(|| values.value(at).to_owned());
    (0..entries.len()).map(|at| (keys.value(at).to_owned(), value(at))).collect()
}

/// The columns of a schema, of events as bytes.
pub(crate) fn decoded(schema: &Schema, rows: &[&[u8]]) -> Result<Vec<ArrayRef>, ArrowError> {
    let rows: Vec<Row> =
        rows.iter().map(|row| postcard::from_bytes(row)).collect::<Result<_, _>>().map_err(|error| damaged(&error))?;
    let used: BTreeSet<u16> = rows.iter().flatten().map(|(index, _)| *index).collect();
    let column = |(index, field): (u16, &Arc<arrow::datatypes::Field>)| {
        if !used.contains(&index) {
            return Ok(new_null_array(field.data_type(), rows.len()));
        }
        let cells: Vec<Option<&Cell>> = rows.iter().map(|row| cell_of(row, index)).collect();
        array(field.data_type(), &cells)
    };
    (0..).zip(schema.fields()).map(column).collect()
}

fn cell_of(row: &Row, index: u16) -> Option<&Cell> {
    let at = row.binary_search_by_key(&index, |(index, _)| *index).ok()?;
    row.get(at).map(|(_, cell)| cell)
}

fn number(cell: Option<&Cell>) -> Option<i128> {
    match cell {
        Some(Cell::Number(number)) => Some(*number),
        _ => None,
    }
}

fn text(cell: Option<&Cell>) -> Option<&str> {
    match cell {
        Some(Cell::Text(text)) => Some(text),
        _ => None,
    }
}

fn array(kind: &DataType, cells: &[Option<&Cell>]) -> Result<ArrayRef, ArrowError> {
    let numbers = || cells.iter().map(|cell| number(*cell));
    let longs = || numbers().map(|number| number.and_then(|number| i64::try_from(number).ok()));
    Ok(match kind {
        DataType::Utf8 => Arc::new(cells.iter().map(|cell| text(*cell)).collect::<StringArray>()),
        DataType::Timestamp(_, zone) => {
            Arc::new(longs().collect::<TimestampMicrosecondArray>().with_timezone_opt(zone.clone()))
        }
        DataType::Decimal128(..) => Arc::new(numbers().collect::<Decimal128Array>().with_data_type(kind.clone())),
        DataType::Int64 => Arc::new(longs().collect::<Int64Array>()),
        DataType::Int32 => {
            Arc::new(longs().map(|long| long.and_then(|long| i32::try_from(long).ok())).collect::<Int32Array>())
        }
        DataType::Boolean => Arc::new(numbers().map(|flag| flag.map(|flag| flag != 0)).collect::<BooleanArray>()),
        DataType::Map(entry, _) => Arc::new(maps(entry.name(), cells)?),
        kind => new_null_array(kind, cells.len()),
    })
}

fn maps(entry: &str, cells: &[Option<&Cell>]) -> Result<MapArray, ArrowError> {
    let names = MapFieldNames { entry: entry.to_owned(), key: "key".into(), value: "value".into() };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for cell in cells {
        let Some(Cell::Map(entries)) = cell else {
            map.append(false)?;
            continue;
        };
        for (key, value) in entries {
            map.keys().append_value(key);
            map.values().append_option(value.as_deref());
        }
        map.append(true)?;
    }
    Ok(map.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_an_event_comes_back_as_it_was() {
        let records = satisflow_model::records_schema();
        let schema = crate::answers::schema_of(&records);
        let map = vec![("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)];
        let of = |(index, field): (u16, &Arc<arrow::datatypes::Field>)| {
            let cell = match field.data_type() {
                DataType::Utf8 => Cell::Text(format!("text {index}")),
                DataType::Map(..) => Cell::Map(map.clone()),
                DataType::Binary => return None,
                DataType::Boolean => Cell::Number(1),
                _ => Cell::Number(index.into()),
            };
            Some((index, cell))
        };
        let full: Row = (0..).zip(schema.fields()).filter_map(of).collect();
        let bytes = [postcard::to_stdvec(&full).unwrap(), postcard::to_stdvec(&Row::new()).unwrap()];
        let columns = decoded(&schema, &[&bytes[0], &bytes[1]]).unwrap();
        let events = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        let all: BTreeSet<usize> = (0..events.num_columns()).collect();
        for (row, bytes) in bytes.iter().enumerate() {
            assert_eq!(&*encoded(&events, row, &all).unwrap(), bytes.as_slice(), "row {row}");
        }
    }
}
