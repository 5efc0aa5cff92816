//! Lakes that this program did not make as they are: each is refused by name.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use satisflow_lake::{Lake, LakeError, LakeOptions};

use crate::{open, options};

const PROPERTY: &str = "\"satisflow.lakeFormatVersion\":\"1\"";

/// Rewrites the property in the first entry of the log of `records`.
async fn with_property(text: &str) -> LakeError {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder).await);
    let first = folder.path().join("records/_delta_log/00000000000000000000.json");
    let entry = std::fs::read_to_string(&first).unwrap();
    assert!(entry.contains(PROPERTY), "{entry}");
    std::fs::write(&first, entry.replace(PROPERTY, text)).unwrap();
    Lake::open(folder.path().to_str().unwrap(), options()).await.unwrap_err()
}

#[tokio::test]
async fn a_newer_lake_is_refused_by_name() {
    let refused = with_property("\"satisflow.lakeFormatVersion\":\"2\"").await;
    assert!(matches!(&refused, LakeError::NewerFormat { found, known: 1, .. } if found == "2"), "{refused}");
}

#[tokio::test]
async fn a_table_of_another_program_is_refused() {
    let refused = with_property("\"other\":\"1\"").await;
    assert!(matches!(refused, LakeError::Foreign { .. }), "{refused}");
}

#[tokio::test]
async fn a_column_of_another_type_is_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder).await);
    let kpis = satisflow_kpi::kpis_schema(&["department".into()]);
    let change = |field: &Arc<Field>| match field.name().as_str() {
        "department" => Field::new("department", DataType::Int64, true),
        _ => field.as_ref().clone(),
    };
    let schema = Arc::new(Schema::new(kpis.fields().iter().map(change).collect::<Vec<_>>()));
    let options = LakeOptions { kpis_schema: schema, ..options() };
    let refused = Lake::open(folder.path().to_str().unwrap(), options).await.unwrap_err();
    assert!(matches!(&refused, LakeError::ColumnType { column, .. } if column == "department"), "{refused}");
}
