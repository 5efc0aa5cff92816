//! Rows of a measure that reads each answer: the event's columns, with the answer's
//! item in `item` and its text in `answer`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch, StringArray, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

const ITEM: &str = "item";
const ANSWER: &str = "answer";

/// Stands between an event's id and an item where answers compete for a key: the
/// least by this text comes first of equal times.
pub const ID_SEPARATOR: char = '\u{1f}';

/// The columns of an answer's row: those of `records` and `answer`.
pub(crate) fn schema_of(records: &Schema) -> Schema {
    let nullable = records.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Schema::new(nullable.chain([Field::new(ANSWER, DataType::Utf8, true)]).collect::<Vec<_>>())
}

/// The answers of events.
pub(crate) fn column(events: &RecordBatch) -> Result<&MapArray, ArrowError> {
    let answers = events.column_by_name("answers").and_then(|column| column.as_map_opt());
    answers.ok_or_else(|| ArrowError::SchemaError("events have no `answers`".to_owned()))
}

/// Events with a column `answer` that holds nothing.
pub(crate) fn without_answer(events: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = schema_of(events.schema_ref());
    let nothing = new_null_array(&DataType::Utf8, events.num_rows());
    RecordBatch::try_new(Arc::new(schema), events.columns().iter().cloned().chain([nothing]).collect())
}

/// One row an answer.
pub(crate) struct Answers {
    pub(crate) rows: RecordBatch,
    /// The event of each row.
    pub(crate) events: Vec<usize>,
}

impl Answers {
    /// The answers of events. Of their columns only those `used` are filled, by index.
    pub(crate) fn of(events: &RecordBatch, used: &BTreeSet<usize>) -> Result<Answers, ArrowError> {
        let schema: SchemaRef = Arc::new(schema_of(events.schema_ref()));
        let answers = column(events)?;
        let offsets = answers.value_offsets();
        let (mut of, mut entries) = (Vec::new(), Vec::new());
        for row in (0..events.num_rows()).filter(|row| answers.is_valid(*row)) {
            for entry in offsets[row]..offsets[row + 1] {
                of.push(row);
                entries.push(u32::try_from(entry).unwrap_or_default());
            }
        }
        let entries = UInt32Array::from(entries);
        let from = UInt32Array::from_iter_values(of.iter().map(|row| u32::try_from(*row).unwrap_or_default()));
        let filled = |(index, field): (usize, &Arc<Field>)| match field.name().as_str() {
            ITEM => take(answers.keys(), &entries, None),
            ANSWER => take(answers.values(), &entries, None),
            _ if used.contains(&index) => take(events.column(index), &from, None),
            _ => Ok(new_null_array(field.data_type(), of.len())),
        };
        let columns: Vec<ArrayRef> = schema.fields().iter().enumerate().map(filled).collect::<Result<_, _>>()?;
        Ok(Answers { rows: RecordBatch::try_new(schema, columns)?, events: of })
    }

    /// An id for each answer, of its event's and its item's.
    pub(crate) fn ids(&self, event_ids: &StringArray) -> StringArray {
        let items = self.rows.column_by_name(ITEM).and_then(|items| items.as_string_opt::<i32>());
        let id = |row: usize| {
            let item = items.map_or("", |items| items.value(row));
            format!("{}{ID_SEPARATOR}{item}", event_ids.value(row))
        };
        StringArray::from_iter_values((0..event_ids.len()).map(id))
    }
}
