//! The Arrow schema of `records`, and the published schemas made from the table of fields.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Fields, Schema, SchemaRef, TimeUnit};
use serde_json::{Map, Value, json};

use crate::fields::{Column, KINDS, fields};

pub(crate) const KEY_VALUE: &str = "key_value";

pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn map_type() -> DataType {
    let entry = Fields::from(vec![
        ArrowField::new("key", DataType::Utf8, false),
        ArrowField::new("value", DataType::Utf8, true),
    ]);
    DataType::Map(Arc::new(ArrowField::new(KEY_VALUE, DataType::Struct(entry), false)), false)
}

fn data_type(column: Column) -> DataType {
    match column {
        Column::Text => DataType::Utf8,
        Column::Time => time_type(),
        Column::Number => DataType::Decimal128(18, 4),
        Column::Weight => DataType::Decimal128(12, 6),
        Column::Integer => DataType::Int64,
        Column::Flag => DataType::Boolean,
    }
}

/// Columns of a record beside its event's fields: name, type, nullable, meaning.
fn envelope() -> Vec<(&'static str, DataType, bool, &'static str)> {
    vec![
        ("outcome", DataType::Utf8, false, "accepted, duplicate or rejected."),
        ("event_month", DataType::Utf8, false, "UTC month of event_time, of ingest_time for rejects: `2026-11`."),
        ("topic", DataType::Utf8, false, "Topic of the record."),
        ("partition", DataType::Int32, false, "Partition of the record."),
        ("offset", DataType::Int64, false, "Offset of the record."),
        ("kafka_time", time_type(), true, "Kafka's timestamp of the record."),
        ("ingest_time", time_type(), false, "When the record was taken in."),
        ("headers", map_type(), true, "Headers of the record, as text."),
        ("reject_reason", DataType::Utf8, true, "Reason code of a reject."),
        ("reject_field", DataType::Utf8, true, "Field at fault of a reject."),
        ("reject_message", DataType::Utf8, true, "What is wrong with a reject."),
        ("raw", DataType::Binary, true, "Payload of a reject, cut at raw_bytes_max."),
        ("raw_bytes", DataType::Int64, true, "True length of a reject's payload."),
        ("content_hash", DataType::Int64, true, "Hash of the event's decoded fields."),
    ]
}

/// Schema of the table `records`: one row for each record polled.
pub fn records_schema() -> SchemaRef {
    let mut all: Vec<ArrowField> =
        envelope().into_iter().map(|(name, kind, nullable, _)| ArrowField::new(name, kind, nullable)).collect();
    all.extend(fields().iter().map(|f| ArrowField::new(f.name, data_type(f.column), true)));
    all.extend(["answers", "attributes"].map(|name| ArrowField::new(name, map_type(), true)));
    Arc::new(Schema::new(all))
}

/// The columns of `records` with their meaning, as a JSON document.
pub fn records_json() -> Value {
    let column = |name: &str, kind: String, nullable: bool, doc: &str| json!({"column": name, "type": kind, "nullable": nullable, "meaning": doc});
    let mut columns: Vec<Value> = envelope()
        .into_iter()
        .map(|(name, kind, nullable, doc)| column(name, kind.to_string(), nullable, doc))
        .collect();
    columns.extend(fields().iter().map(|f| column(f.name, data_type(f.column).to_string(), true, f.doc)));
    columns.push(column("answers", map_type().to_string(), true, "Item to answer; numbers keep their exact text."));
    columns.push(column(
        "attributes",
        map_type().to_string(),
        true,
        "Everything else that the event carried, as text.",
    ));
    json!({"table": "records", "columns": columns})
}

fn json_type(column: Column) -> Value {
    match column {
        Column::Text => json!({"type": ["string", "integer", "null"]}),
        Column::Time => json!({"type": ["string", "integer", "null"], "format": "date-time"}),
        Column::Number | Column::Weight => json!({"type": ["number", "string", "null"]}),
        Column::Integer => json!({"type": ["integer", "string", "null"]}),
        Column::Flag => json!({"type": ["boolean", "null"]}),
    }
}

/// JSON Schema (2020-12) of an event.
pub fn event_json_schema() -> Value {
    let mut properties = Map::new();
    for field in fields() {
        let mut property = json_type(field.column);
        property["description"] = json!(field.doc);
        properties.insert(field.name.to_owned(), property);
    }
    let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    properties["kind"] = json!({"enum": kinds, "description": "What happened."});
    properties.insert("answers".into(), json!({"type": ["object", "null"], "description": "Item to number or label."}));
    properties.insert("attributes".into(), json!({"type": ["object", "null"], "description": "Anything else."}));
    let requirements: Vec<Value> = KINDS
        .iter()
        .filter(|kind| !kind.required.is_empty())
        .map(|kind| {
            json!({
                "if": {"properties": {"kind": {"const": kind.name}}},
                "then": {"required": kind.required, "description": kind.doc},
            })
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Satisflow event",
        "type": "object",
        "required": ["event_id", "kind", "event_time"],
        "properties": properties,
        "additionalProperties": true,
        "allOf": requirements,
    })
}
