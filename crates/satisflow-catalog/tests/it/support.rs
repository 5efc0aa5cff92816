//! A catalog of a text, and events of some fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder, new_null_array,
};
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema};
use datafusion::prelude::SessionContext;
use satisflow_catalog::{Catalog, Evaluator, fold_label_function};
use satisflow_document::{Document, Problems};
use satisflow_kpi::Sign;

/// The problems of a catalog, each as `line: message`.
pub fn problems(text: &str) -> Vec<String> {
    let document = Document::parse("catalog.yaml", text).unwrap();
    let mut problems = Problems::new();
    assert!(Catalog::load(&document, &[], &mut problems).is_none(), "this catalog has a problem:\n{text}");
    let listed = problems.to_string();
    listed.lines().map(shortened).collect()
}

/// Without the file, the column and the way out.
fn shortened(problem: &str) -> String {
    let mut parts = problem.splitn(4, ':');
    let (line, message) = (parts.nth(1).unwrap(), parts.nth(1).unwrap());
    format!("{line}:{}", message.rsplit_once(" (").map_or(message, |(message, _)| message))
}

pub fn catalog(text: &str) -> Catalog {
    let document = Document::parse("catalog.yaml", text).unwrap();
    let mut problems = Problems::new();
    let catalog = Catalog::load(&document, &[], &mut problems);
    problems.into_result().unwrap();
    catalog.unwrap()
}

/// Events of which only the answers and the ids, from 0, are known.
pub fn answered(events: &[BTreeMap<&str, &str>]) -> RecordBatch {
    let records = satisflow_model::records_schema();
    let nullable = records.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Schema::new(nullable.collect::<Vec<Field>>());
    let ids = StringArray::from_iter_values((0..events.len()).map(|id| id.to_string()));
    let column = |field: &Arc<Field>| match field.name().as_str() {
        "answers" => answers(field.data_type(), events),
        "event_id" => Arc::new(ids.clone()) as ArrayRef,
        _ => new_null_array(field.data_type(), events.len()),
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(Arc::new(schema.clone()), columns).unwrap()
}

fn answers(kind: &DataType, events: &[BTreeMap<&str, &str>]) -> ArrayRef {
    let DataType::Map(entries, _) = kind else { panic!("answers are no map") };
    let names = MapFieldNames { entry: entries.name().clone(), key: "key".into(), value: "value".into() };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for event in events {
        for (item, answer) in event {
            map.keys().append_value(item);
            map.values().append_value(answer);
        }
        map.append(!event.is_empty()).unwrap();
    }
    Arc::new(map.finish())
}

/// The first measure's value of each event as the engine reads it, 4 decimals.
pub fn engine(catalog: &Catalog, events: &RecordBatch) -> Vec<Option<i128>> {
    let signs = vec![Sign::Count; events.num_rows()];
    let evaluator = Evaluator::new(catalog).unwrap();
    let measured = evaluator.measure(events, &signs).unwrap().next().unwrap();
    let values = &measured.batch.measures[0].value;
    (0..events.num_rows()).map(|row| values.is_valid(row).then(|| values.value(row))).collect()
}

/// The same by the SQL that the audit runs.
pub fn audit(catalog: &Catalog, events: &RecordBatch) -> Vec<Option<i128>> {
    let sql = &catalog.measures[0].value;
    let query = format!("SELECT CAST({sql} AS DECIMAL(18,4)) AS x FROM records ORDER BY CAST(event_id AS INT)");
    let context = SessionContext::new();
    context.register_udf(fold_label_function());
    context.register_batch("records", events.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(async { context.sql(&query).await.unwrap().collect().await.unwrap() });
    let of = |batch: &RecordBatch| {
        let values = batch["x"].as_primitive::<Decimal128Type>().clone();
        (0..values.len()).map(|row| values.is_valid(row).then(|| values.value(row))).collect::<Vec<_>>()
    };
    found.iter().flat_map(of).collect()
}
