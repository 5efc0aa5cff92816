//! `pg_catalog` and `information_schema`, as PostgreSQL's clients expect their columns.
//!
//! The libraries' tables are shown with three differences: lists that they hold as text
//! are lists; columns that they leave out are NULL; types have PostgreSQL's names.
//! Published tables have neither indexes nor constraints.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableType, lit};
use datafusion::prelude::{SessionContext, ident};
use futures::executor::block_on;

use crate::pg::settings;
use crate::views::Published;

mod views;

/// Catalog that clients connect to.
pub(crate) const CATALOG: &str = "satisflow";
const INFORMATION_SCHEMA: &str = "information_schema";

/// Lists that the library holds as text, and what is in them.
const LISTS: &[(&str, DataType)] = &[
    ("indkey", DataType::Int16),
    ("indoption", DataType::Int16),
    ("indclass", DataType::Int32),
    ("indcollation", DataType::Int32),
    ("conkey", DataType::Int16),
    ("confkey", DataType::Int16),
    ("confdelsetcols", DataType::Int16),
    ("conpfeqop", DataType::Int32),
    ("conppeqop", DataType::Int32),
    ("conffeqop", DataType::Int32),
    ("conexclop", DataType::Int32),
    ("stxkeys", DataType::Int16),
    ("stxkind", DataType::Utf8),
];

/// Tables whose rows are about the system's own objects, which nobody sees here.
const WITHOUT_ROWS: &[&str] = &[
    "pg_index",
    "pg_constraint",
    "pg_attrdef",
    "pg_trigger",
    "pg_rewrite",
    "pg_opclass",
    "pg_opfamily",
    "pg_amop",
    "pg_amproc",
    "pg_statistic_ext",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
];

/// Tables that the library leaves out: there is nothing of it.
const NOT_THERE: &[(&str, &[&str])] = &[
    ("pg_user_mappings", &["umid", "srvid", "srvname", "umuser", "usename", "umoptions"]),
    ("pg_ts_config_map", &["mapcfg", "maptokentype", "mapseqno", "mapdict"]),
    ("pg_parameter_acl", &["oid", "parname", "paracl"]),
];

/// Lists that the library leaves out.
const LEFT_OUT: &[(&str, &str)] = &[("pg_class", "reloptions"), ("pg_class", "relacl")];

/// Columns that PostgreSQL 17 calls otherwise, as the library does: table, its name now, its name before.
const RENAMED: &[(&str, &str, &str)] = &[("pg_collation", "colllocale", "colliculocale")];

/// What there is nothing of, and its columns.
const NOTHING: &[(&str, &[&str])] = &[
    ("table_constraints", &["constraint_schema", "constraint_name", "table_schema", "table_name", "constraint_type"]),
    (
        "key_column_usage",
        &["constraint_schema", "constraint_name", "table_schema", "table_name", "column_name", "ordinal_position"],
    ),
    ("constraint_column_usage", &["table_schema", "table_name", "column_name", "constraint_schema", "constraint_name"]),
    (
        "referential_constraints",
        &["constraint_schema", "constraint_name", "unique_constraint_schema", "unique_constraint_name"],
    ),
];

/// Puts both in place of the libraries'.
///
/// # Errors
/// When there is no `pg_catalog` yet.
pub(crate) fn register(context: &SessionContext) -> Result<()> {
    let catalog = context.catalog(CATALOG).ok_or_else(|| missing(CATALOG))?;
    let inner = catalog.schema("pg_catalog").ok_or_else(|| missing("pg_catalog"))?;
    let views = views::read(context, &catalog, &inner)?;
    context.register_udf(views::definition_of(&views));
    let views = views::table(&views)?;
    catalog.register_schema("pg_catalog", Arc::new(PgCatalog { inner, views }))?;
    let list = Arc::clone(context.state().catalog_list());
    let information = Information(Arc::new(InformationSchemaProvider::new(list)));
    context.register_catalog(CATALOG, Arc::new(Schemas { listed: catalog, information: Arc::new(information) }));
    Ok(())
}

/// The schemas, of which `information_schema` is found and not listed: its tables would be
/// taken for published ones.
#[derive(Debug)]
struct Schemas {
    listed: Arc<dyn CatalogProvider>,
    information: Arc<dyn SchemaProvider>,
}

impl CatalogProvider for Schemas {
    fn schema_names(&self) -> Vec<String> {
        self.listed.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == INFORMATION_SCHEMA { Some(Arc::clone(&self.information)) } else { self.listed.schema(name) }
    }
}

fn missing(name: &str) -> DataFusionError {
    DataFusionError::Internal(format!("{name} is not registered"))
}

fn list_of(kind: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", kind, true)))
}

/// Of a column that is a list in PostgreSQL, and text in the library: what is in it.
fn listed(field: &Field) -> Option<DataType> {
    let name = field.name().as_str();
    let found = LISTS.iter().find(|(list, _)| *list == name).map(|(_, kind)| kind.clone());
    let texts = ["acl", "options", "config"].iter().any(|end| name.ends_with(end)).then_some(DataType::Utf8);
    found.or(texts).filter(|_| field.data_type() == &DataType::Utf8)
}

#[derive(Debug)]
struct PgCatalog {
    inner: Arc<dyn SchemaProvider>,
    /// `pg_views`.
    views: Arc<dyn TableProvider>,
}

#[async_trait]
impl SchemaProvider for PgCatalog {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if name == "pg_views" {
            return Ok(Some(Arc::clone(&self.views)));
        }
        if let Some((_, columns)) = NOT_THERE.iter().find(|(not_there, _)| *not_there == name) {
            return Ok(Some(Arc::new(MemTable::try_new(texts(columns), vec![vec![]])?)));
        }
        let Some(table) = self.inner.table(name).await? else { return Ok(None) };
        if name == "pg_settings" {
            return settings(&table.schema()).map(Some);
        }
        mended(name, table).map(Some)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name) || NOT_THERE.iter().any(|(not_there, _)| *not_there == name)
    }
}

/// Every setting with its default; statements read the connection's own values
/// (`pg::rewrite`).
fn settings(schema: &SchemaRef) -> Result<Arc<dyn TableProvider>> {
    let kept = settings::Kept::new();
    let (names, values): (Vec<_>, Vec<_>) = settings::all(&kept).unzip();
    let column = |field: &Arc<Field>| -> ArrayRef {
        match field.name().as_str() {
            "name" => Arc::new(StringArray::from(names.clone())),
            "setting" | "reset_val" => Arc::new(StringArray::from(values.clone())),
            _ => new_null_array(field.data_type(), names.len()),
        }
    };
    let columns = schema.fields().iter().map(column).collect();
    let rows = RecordBatch::try_new(Arc::clone(schema), columns)?;
    Ok(Arc::new(MemTable::try_new(Arc::clone(schema), vec![vec![rows]])?))
}

fn mended(name: &str, table: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let schema = table.schema();
    let empty = WITHOUT_ROWS.contains(&name);
    let left_out: Vec<&str> = LEFT_OUT.iter().filter(|(of, _)| *of == name).map(|(_, column)| *column).collect();
    let renamed = RENAMED.iter().filter(|(of, _, _)| *of == name);
    let renamed: Vec<Expr> = renamed.map(|(_, now, before)| ident(*now).alias(*before)).collect();
    let changed = empty
        || !left_out.is_empty()
        || !renamed.is_empty()
        || schema.fields().iter().any(|field| listed(field).is_some());
    if !changed {
        return Ok(table);
    }
    let nothing = |kind: DataType, name: &str| Ok(lit(ScalarValue::try_new_null(&list_of(kind))?).alias(name));
    let column = |field: &Arc<Field>| match listed(field) {
        Some(kind) => nothing(kind, field.name()),
        None => Ok(ident(field.name())),
    };
    let mut columns = schema.fields().iter().map(column).collect::<Result<Vec<Expr>>>()?;
    for column in left_out {
        columns.push(nothing(DataType::Utf8, column)?);
    }
    columns.extend(renamed);
    let rows = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?;
    let rows = if empty { rows.filter(lit(false))? } else { rows };
    let view = ViewTable::new(rows.project(columns)?.build()?, None);
    Ok(Arc::new(Published::new(view, TableType::Base)))
}

#[derive(Debug)]
struct Information(Arc<InformationSchemaProvider>);

#[async_trait]
impl SchemaProvider for Information {
    fn table_names(&self) -> Vec<String> {
        let nothing = NOTHING.iter().map(|(name, _)| (*name).to_owned());
        self.0.table_names().into_iter().filter(|name| name != "df_settings").chain(nothing).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some((_, columns)) = NOTHING.iter().find(|(nothing, _)| *nothing == name) {
            return Ok(Some(Arc::new(MemTable::try_new(texts(columns), vec![vec![]])?)));
        }
        match self.0.table(name).await? {
            Some(columns) if name == "columns" => named_as_in_postgresql(columns).map(Some),
            Some(views) if name == "views" => over(views, VIEWS).map(Some),
            _ if name == "df_settings" => Ok(None),
            table => Ok(table),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}

fn texts(columns: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

/// `columns` with the names of PostgreSQL's types.
fn named_as_in_postgresql(columns: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let names = |pairs: &[(&str, &str)], other: &str| {
        let whens = pairs.iter().map(|(like, name)| format!("WHEN data_type LIKE '{like}' THEN '{name}'"));
        format!("CASE {} ELSE {other} END", whens.collect::<Vec<_>>().join(" "))
    };
    let long = names(LONG_NAMES, "data_type");
    let short = names(SHORT_NAMES, "data_type");
    let schema = columns.schema();
    let shown = schema.fields().iter().map(|field| match field.name().as_str() {
        "data_type" => format!("{long} AS data_type"),
        name => format!("\"{name}\""),
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT {shown}, {short} AS udt_name, 'pg_catalog' AS udt_schema, 'NO' AS is_identity, 'NEVER' AS \
         is_generated, 'NO' AS is_updatable FROM \"inner\""
    );
    over(columns, &sql)
}

/// `views` with PostgreSQL's columns.
const VIEWS: &str = "SELECT table_catalog, table_schema, table_name, definition AS view_definition, \
     'NONE' AS check_option, 'NO' AS is_updatable, 'NO' AS is_insertable_into FROM \"inner\"";

/// A query over a table that it calls `inner`.
fn over(inner: Arc<dyn TableProvider>, sql: &str) -> Result<Arc<dyn TableProvider>> {
    let scratch = SessionContext::new();
    scratch.register_table("inner", inner)?;
    // Planning reads no rows, so that waiting here is short.
    let plan = block_on(scratch.sql(sql))?.into_unoptimized_plan();
    Ok(Arc::new(Published::new(ViewTable::new(plan, None), TableType::Base)))
}

/// The engine's types, and what PostgreSQL calls them.
const LONG_NAMES: &[(&str, &str)] = &[
    ("%Utf8%", "text"),
    ("Boolean", "boolean"),
    ("Int16", "smallint"),
    ("Int32", "integer"),
    ("Int64", "bigint"),
    ("UInt32", "bigint"),
    ("UInt64", "numeric"),
    ("Float32", "real"),
    ("Float64", "double precision"),
    ("Decimal%", "numeric"),
    ("%Binary%", "bytea"),
    ("Date%", "date"),
    ("Timestamp(%,%)", "timestamp with time zone"),
    ("Timestamp%", "timestamp without time zone"),
    ("List%", "ARRAY"),
];

/// The same as the catalog's short names.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("%Utf8%", "text"),
    ("Boolean", "bool"),
    ("Int16", "int2"),
    ("Int32", "int4"),
    ("Int64", "int8"),
    ("UInt32", "int8"),
    ("UInt64", "numeric"),
    ("Float32", "float4"),
    ("Float64", "float8"),
    ("Decimal%", "numeric"),
    ("%Binary%", "bytea"),
    ("Date%", "date"),
    ("Timestamp(%,%)", "timestamptz"),
    ("Timestamp%", "timestamp"),
];
