//! What there is: catalogs, schemas, tables, and what this server can do.

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{
    GetTablesBuilder, SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity, SqlSupportedTransaction};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::TableType;
use datafusion::prelude::SessionContext;
use tonic::Status;

use super::status;
use crate::catalog::CATALOG;

/// Where everything published is.
pub(super) const SCHEMA: &str = "public";
pub(super) const TABLE_TYPES: [&str; 2] = ["TABLE", "VIEW"];

/// Fills in the published tables.
pub(super) async fn tables(builder: &mut GetTablesBuilder, context: &SessionContext) -> Result<(), Status> {
    let schema = context.catalog(CATALOG).and_then(|catalog| catalog.schema(SCHEMA));
    let schema = schema.ok_or_else(|| Status::internal("the schema of what is published is missing"))?;
    let mut names = schema.table_names();
    names.sort_unstable();
    for name in names {
        let found = schema.table(&name).await.map_err(|error: DataFusionError| status::internal(error))?;
        let Some(table) = found else { continue };
        let kind = if table.table_type() == TableType::View { TABLE_TYPES[1] } else { TABLE_TYPES[0] };
        let columns = shown(&table.schema());
        builder.append(CATALOG, SCHEMA, &name, kind, &columns).map_err(status::internal)?;
    }
    Ok(())
}

/// A schema as it is shown and sent: the engine's plans differ in notes and in what may be NULL.
pub(super) fn shown(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| Field::new(field.name(), values_of(field.data_type()), true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// Dictionaries are an encoding, and sent as their values.
fn values_of(kind: &DataType) -> DataType {
    match kind {
        DataType::Dictionary(_, values) => values_of(values),
        other => other.clone(),
    }
}

/// The batch with that schema.
pub(super) fn show(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let fields = schema.fields().iter().zip(batch.columns());
    let columns = fields.map(|(field, column)| match column.data_type() {
        DataType::Dictionary(..) => arrow::compute::cast(column, field.data_type()),
        _ => Ok(Arc::clone(column)),
    });
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<_, _>>()?, &options)
}

/// What this server says of itself.
pub(super) fn sql_info() -> Result<&'static SqlInfoData, Status> {
    static INFO: LazyLock<Result<SqlInfoData, FlightError>> = LazyLock::new(|| {
        let mut info = SqlInfoDataBuilder::new();
        info.append(SqlInfo::FlightSqlServerName, "Satisflow");
        info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
        info.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
        info.append(SqlInfo::FlightSqlServerReadOnly, true);
        info.append(SqlInfo::FlightSqlServerSql, true);
        info.append(SqlInfo::FlightSqlServerSubstrait, false);
        info.append(SqlInfo::FlightSqlServerBulkIngestion, false);
        info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
        info.append(SqlInfo::FlightSqlServerCancel, true);
        info.append(SqlInfo::SqlDdlCatalog, false);
        info.append(SqlInfo::SqlDdlSchema, false);
        info.append(SqlInfo::SqlDdlTable, false);
        info.append(SqlInfo::SqlTransactionsSupported, false);
        info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
        let quoted = SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32;
        info.append(SqlInfo::SqlQuotedIdentifierCase, quoted);
        info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
        info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
        info.build()
    });
    INFO.as_ref().map_err(status::internal)
}

/// Types are those of Arrow; nothing is said of XDBC's.
pub(super) fn xdbc_info() -> Result<&'static XdbcTypeInfoData, Status> {
    static INFO: LazyLock<Result<XdbcTypeInfoData, FlightError>> =
        LazyLock::new(|| XdbcTypeInfoDataBuilder::new().build());
    INFO.as_ref().map_err(status::internal)
}

fn columns(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    let field = |(name, kind, nullable): &(&str, DataType, bool)| Field::new(*name, kind.clone(), *nullable);
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

/// Columns of primary keys, of which there are none.
pub(super) fn primary_keys() -> SchemaRef {
    columns(&[
        ("catalog_name", DataType::Utf8, true),
        ("db_schema_name", DataType::Utf8, true),
        ("table_name", DataType::Utf8, false),
        ("column_name", DataType::Utf8, false),
        ("key_name", DataType::Utf8, true),
        ("key_sequence", DataType::Int32, false),
    ])
}

/// Columns of foreign keys, of which there are none.
pub(super) fn foreign_keys() -> SchemaRef {
    columns(&[
        ("pk_catalog_name", DataType::Utf8, true),
        ("pk_db_schema_name", DataType::Utf8, true),
        ("pk_table_name", DataType::Utf8, false),
        ("pk_column_name", DataType::Utf8, false),
        ("fk_catalog_name", DataType::Utf8, true),
        ("fk_db_schema_name", DataType::Utf8, true),
        ("fk_table_name", DataType::Utf8, false),
        ("fk_column_name", DataType::Utf8, false),
        ("key_sequence", DataType::Int32, false),
        ("fk_key_name", DataType::Utf8, true),
        ("pk_key_name", DataType::Utf8, true),
        ("update_rule", DataType::UInt8, false),
        ("delete_rule", DataType::UInt8, false),
    ])
}
