//! Rows of `records`, straight into Arrow builders.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Int32Builder, Int64Builder, MapBuilder,
    MapFieldNames, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::decode::Record;
use crate::event::{Entries, Event, Value};
use crate::fields::{Column, fields};
use crate::limits::Limits;
use crate::reject::Reject;
use crate::schema::{KEY_VALUE, records_schema};
use crate::values::precision;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An event that counts, or may count.
    Accepted,
    /// The same event again, in the same partition.
    Duplicate,
    /// Not an event.
    Rejected,
}

impl Outcome {
    /// The text in `records.outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Duplicate => "duplicate",
            Outcome::Rejected => "rejected",
        }
    }
}

type TextMapBuilder = MapBuilder<StringBuilder, StringBuilder>;

#[derive(Debug)]
enum FieldBuilder {
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
    Number(Decimal128Builder),
    Integer(Int64Builder),
    Flag(BooleanBuilder),
}

fn time_builder() -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::new().with_timezone("UTC")
}

fn map_builder() -> TextMapBuilder {
    let names = MapFieldNames { entry: KEY_VALUE.into(), key: "key".into(), value: "value".into() };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
}

impl FieldBuilder {
    fn new(column: Column) -> FieldBuilder {
        let number = || {
            let (digits, decimals) = precision(column);
            let kind = DataType::Decimal128(digits as u8, decimals as i8);
            Decimal128Builder::new().with_data_type(kind)
        };
        match column {
            Column::Text => FieldBuilder::Text(StringBuilder::new()),
            Column::Time => FieldBuilder::Time(time_builder()),
            Column::Number | Column::Weight => FieldBuilder::Number(number()),
            Column::Integer => FieldBuilder::Integer(Int64Builder::new()),
            Column::Flag => FieldBuilder::Flag(BooleanBuilder::new()),
        }
    }

    /// The value of a row. Rows that were skipped since the last one are NULL; a
    /// value of another type than the column's is as absent: decoding has ruled it out.
    fn append(&mut self, row: usize, value: &Value<'_>) {
        if *value == Value::Null {
            return;
        }
        self.fill(row);
        match (self, value) {
            (FieldBuilder::Text(b), Value::Text(text)) => b.append_value(text),
            (FieldBuilder::Time(b), Value::Time(micros)) => b.append_value(*micros),
            (FieldBuilder::Number(b), Value::Number(number)) => b.append_value(i128::from(*number)),
            (FieldBuilder::Integer(b), Value::Integer(number)) => b.append_value(*number),
            (FieldBuilder::Flag(b), Value::Flag(flag)) => b.append_value(*flag),
            _ => {}
        }
    }

    /// Makes every row before `rows` that has no value NULL.
    fn fill(&mut self, rows: usize) {
        match self {
            FieldBuilder::Text(b) => b.append_nulls(rows - b.len()),
            FieldBuilder::Time(b) => b.append_nulls(rows - b.len()),
            FieldBuilder::Number(b) => b.append_nulls(rows - b.len()),
            FieldBuilder::Integer(b) => b.append_nulls(rows - b.len()),
            FieldBuilder::Flag(b) => b.append_nulls(rows - b.len()),
        }
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        self.fill(rows);
        match self {
            FieldBuilder::Text(b) => Arc::new(b.finish()),
            FieldBuilder::Time(b) => Arc::new(b.finish()),
            FieldBuilder::Number(b) => Arc::new(b.finish()),
            FieldBuilder::Integer(b) => Arc::new(b.finish()),
            FieldBuilder::Flag(b) => Arc::new(b.finish()),
        }
    }
}

/// Builds batches of `records`.
#[derive(Debug)]
pub struct RecordsBuilder {
    limits: Limits,
    outcome: StringBuilder,
    event_month: StringBuilder,
    topic: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    kafka_time: TimestampMicrosecondBuilder,
    ingest_time: TimestampMicrosecondBuilder,
    headers: TextMapBuilder,
    reject: [StringBuilder; 3],
    raw: BinaryBuilder,
    raw_bytes: Int64Builder,
    content_hash: Int64Builder,
    fields: Vec<FieldBuilder>,
    answers: TextMapBuilder,
    attributes: TextMapBuilder,
    month: (i64, i64, String),
    bytes: usize,
}

/// Bytes that a row takes beside its payload, about.
const ROW_OVERHEAD_BYTES: usize = 256;

impl RecordsBuilder {
    /// An empty builder.
    pub fn new(limits: Limits) -> RecordsBuilder {
        RecordsBuilder {
            limits,
            outcome: StringBuilder::new(),
            event_month: StringBuilder::new(),
            topic: StringBuilder::new(),
            partition: Int32Builder::new(),
            offset: Int64Builder::new(),
            kafka_time: time_builder(),
            ingest_time: time_builder(),
            headers: map_builder(),
            reject: [StringBuilder::new(), StringBuilder::new(), StringBuilder::new()],
            raw: BinaryBuilder::new(),
            raw_bytes: Int64Builder::new(),
            content_hash: Int64Builder::new(),
            fields: fields().iter().map(|f| FieldBuilder::new(f.column)).collect(),
            answers: map_builder(),
            attributes: map_builder(),
            month: (0, 0, String::new()),
            bytes: 0,
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.outcome.len()
    }

    /// About the bytes held so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an accepted event, or one that is there already.
    pub fn append_event(&mut self, record: &Record<'_>, ingest_micros: i64, outcome: Outcome, event: &Event<'_>) {
        self.append_record(record, ingest_micros, outcome, event.event_time_micros());
        self.reject.iter_mut().for_each(StringBuilder::append_null);
        self.raw.append_null();
        self.raw_bytes.append_null();
        self.content_hash.append_value(event.content_hash().cast_signed());
        let row = self.rows() - 1;
        self.fields.iter_mut().zip(&event.values).for_each(|(builder, value)| builder.append(row, value));
        append_map(&mut self.answers, &event.answers);
        append_map(&mut self.attributes, &event.attributes);
    }

    /// Adds a record that is not an event.
    pub fn append_reject(&mut self, record: &Record<'_>, ingest_micros: i64, reject: &Reject) {
        self.append_record(record, ingest_micros, Outcome::Rejected, ingest_micros);
        self.reject[0].append_value(reject.reason.as_str());
        self.reject[1].append_option(reject.field.as_deref());
        self.reject[2].append_value(&reject.message);
        let raw = record.payload.map(|raw| &raw[..raw.len().min(self.limits.raw_bytes_max)]);
        self.raw.append_option(raw);
        self.raw_bytes.append_option(record.payload.map(|raw| raw.len() as i64));
        self.content_hash.append_null();
        append_map(&mut self.answers, &Vec::new());
        append_map(&mut self.attributes, &Vec::new());
    }

    fn append_record(&mut self, record: &Record<'_>, ingest_micros: i64, outcome: Outcome, month_of: i64) {
        self.bytes += record.payload.map_or(0, <[u8]>::len) + ROW_OVERHEAD_BYTES;
        self.outcome.append_value(outcome.as_str());
        self.note_month(month_of);
        self.event_month.append_value(&self.month.2);
        self.topic.append_value(record.topic);
        self.partition.append_value(record.partition);
        self.offset.append_value(record.offset);
        self.kafka_time.append_option(record.timestamp_ms.and_then(|ms| ms.checked_mul(1000)));
        self.ingest_time.append_value(ingest_micros);
        let kept = record.headers.iter().take(self.limits.headers_max);
        let mut headers: Entries<'_> = Vec::new();
        for (key, value) in kept {
            // Of a name that is there twice the last value stays.
            headers.retain(|(earlier, _)| earlier != key);
            let shown = &value[..value.len().min(self.limits.text_bytes_max)];
            headers.push((Cow::Borrowed(key.as_str()), String::from_utf8_lossy(shown)));
        }
        append_map(&mut self.headers, &headers);
    }

    /// Keeps the month of a time, with its bounds, until another is asked for.
    fn note_month(&mut self, micros: i64) {
        let (start, end, _) = &self.month;
        if !(*start..*end).contains(&micros) {
            self.month = month_around(micros);
        }
    }

    /// The rows as a batch; the builder is empty again.
    ///
    /// # Errors
    /// Never in practice: the columns are built to the schema.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.bytes = 0;
        let rows = self.rows();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.outcome.finish()),
            Arc::new(self.event_month.finish()),
            Arc::new(self.topic.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.kafka_time.finish()),
            Arc::new(self.ingest_time.finish()),
            Arc::new(self.headers.finish()),
        ];
        columns.extend(self.reject.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef));
        columns.push(Arc::new(self.raw.finish()));
        columns.push(Arc::new(self.raw_bytes.finish()));
        columns.push(Arc::new(self.content_hash.finish()));
        columns.extend(self.fields.iter_mut().map(|field| field.finish(rows)));
        columns.push(Arc::new(self.answers.finish()));
        columns.push(Arc::new(self.attributes.finish()));
        RecordBatch::try_new(records_schema(), columns)
    }
}

/// An empty map is NULL.
fn append_map(builder: &mut TextMapBuilder, entries: &Entries<'_>) {
    for (key, value) in entries {
        builder.keys().append_value(key);
        builder.values().append_value(value);
    }
    builder.append(!entries.is_empty()).expect("a key and a value were appended for each entry");
}

fn month_around(micros: i64) -> (i64, i64, String) {
    let at = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    let first = at.to_zoned_datetime(TimeZone::UTC).date().first_of_month();
    let start_of =
        |date: jiff::civil::Date| date.to_zoned_datetime(TimeZone::UTC).ok().map(|z| z.timestamp().as_microsecond());
    let next = first.checked_add(jiff::Span::new().months(1)).ok();
    let bounds = (start_of(first), next.and_then(start_of));
    let name = format!("{:04}-{:02}", first.year(), first.month());
    (bounds.0.unwrap_or(micros), bounds.1.unwrap_or(micros), name)
}
