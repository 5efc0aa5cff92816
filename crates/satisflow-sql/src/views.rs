//! The published views, over tables that clients can't name.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, cast, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionContext, ident};
use futures::executor::block_on;

use crate::access::Caller;
use crate::tables::Tables;

/// Columns of `records` that are not part of an event.
const ENVELOPE: &[&str] = &[
    "outcome",
    "event_month",
    "topic",
    "partition",
    "offset",
    "kafka_time",
    "ingest_time",
    "headers",
    "reject_reason",
    "reject_field",
    "reject_message",
    "raw",
    "raw_bytes",
    "content_hash",
    "answers",
    "attributes",
];

/// Columns of `records` that are NULL for those who may not see raw data.
const RAW_DATA: &[&str] = &["raw", "headers", "attributes", "text"];

/// What clients list as tables: facts as they were stored. The others derive from them.
const TABLES: &[&str] = &["events", "rejects", "duplicates", "kpis", "kpi_live"];

/// A view that clients see as a table or a view.
#[derive(Debug)]
struct Published {
    view: ViewTable,
    kind: TableType,
}

#[async_trait]
impl TableProvider for Published {
    fn schema(&self) -> SchemaRef {
        self.view.schema()
    }

    fn table_type(&self) -> TableType {
        self.kind
    }

    fn get_logical_plan(&self) -> Option<std::borrow::Cow<'_, LogicalPlan>> {
        self.view.get_logical_plan()
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.view.scan(session, projection, filters, limit).await
    }
}

const POSITION: &str = r#"topic, "partition", "offset", kafka_time, ingest_time"#;

pub(crate) fn register(context: &SessionContext, tables: Tables, caller: Caller) -> Result<()> {
    let records = tables.records.schema();
    let kpis = tables.kpis.schema();
    let live = match tables.kpi_live {
        Some(live) => live,
        None => Arc::new(MemTable::try_new(Arc::clone(&kpis), vec![vec![]])?),
    };
    let shown = if caller.raw_data { tables.records } else { hidden(tables.records)? };
    context.register_table("records_internal", shown)?;
    context.register_table("kpis_internal", Arc::clone(&tables.kpis))?;
    context.register_table("kpi_live_internal", live)?;
    let list = [
        ("events", events(&records)),
        ("events_distinct", distinct(&records)),
        ("event_answers", answers()),
        ("rejects", rejects()),
        ("duplicates", duplicates()),
        ("kpis", "SELECT * FROM kpis_internal".to_owned()),
        ("kpi_current", current(&kpis)),
        ("kpi_latest", latest(&kpis)),
        ("kpi_series", series(&kpis)),
        ("kpi_live", "SELECT * FROM kpi_live_internal".to_owned()),
    ];
    for (name, sql) in list {
        // Planning a view reads no rows, so that waiting here is short.
        let plan = block_on(context.sql(&sql))?.into_unoptimized_plan();
        let view = ViewTable::new(plan, Some(sql));
        let kind = if TABLES.contains(&name) { TableType::Base } else { TableType::View };
        context.register_table(name, Arc::new(Published { view, kind }))?;
    }
    context.register_udtf("kpi_as_of", Arc::new(KpiAsOf { kpis: tables.kpis }));
    for name in ["records_internal", "kpis_internal", "kpi_live_internal"] {
        context.deregister_table(name)?;
    }
    Ok(())
}

/// The rows with NULL in the columns of raw data.
fn hidden(records: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let schema = records.schema();
    let shown = |field: &Arc<Field>| match RAW_DATA.contains(&field.name().as_str()) {
        true => Ok(lit(ScalarValue::try_new_null(field.data_type())?).alias(field.name())),
        false => Ok(ident(field.name())),
    };
    let columns = schema.fields().iter().map(shown).collect::<Result<Vec<_>>>()?;
    let plan = LogicalPlanBuilder::scan("records", provider_as_source(records), None)?.project(columns)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn event_columns(schema: &Schema) -> String {
    let names = schema.fields().iter().map(|f| f.name().as_str()).filter(|name| !ENVELOPE.contains(name));
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

fn events(schema: &Schema) -> String {
    format!(
        "SELECT {}, map_to_json(answers) AS answers, map_to_json(attributes) AS attributes, {POSITION} \
         FROM records_internal WHERE outcome = 'accepted'",
        event_columns(schema)
    )
}

fn distinct(schema: &Schema) -> String {
    format!(
        "SELECT {columns}, answers, attributes, {POSITION} FROM (SELECT *, row_number() OVER \
         (PARTITION BY source, event_id ORDER BY {order}) AS place FROM events) AS e WHERE place = 1",
        columns = event_columns(schema),
        order = r#"topic, "partition", "offset""#
    )
}

fn answers() -> String {
    format!(
        "SELECT source, event_id, event_time, kind, item, value, {POSITION} FROM \
         (SELECT source, event_id, event_time, kind, unnest(map_keys(answers)) AS item, \
         unnest(map_values(answers)) AS value, {POSITION} \
         FROM records_internal WHERE outcome = 'accepted' AND answers IS NOT NULL) AS a"
    )
}

fn rejects() -> String {
    format!(
        "SELECT reject_reason AS reason, reject_field AS field, reject_message AS message, {POSITION}, \
         map_to_json(headers) AS headers, raw, raw_bytes FROM records_internal WHERE outcome = 'rejected'"
    )
}

fn duplicates() -> String {
    format!("SELECT source, event_id, kind, event_time, {POSITION} FROM records_internal WHERE outcome = 'duplicate'")
}

/// What a series is told apart by: its KPI, window, grouping set and dimensions,
/// also those that the table got later, behind its other columns.
fn series_columns(schema: &Schema) -> Vec<&str> {
    const NAMES: [&str; 3] = ["kpi", "window_name", "grouping_set"];
    let others = satisflow_kpi::kpis_schema(&[]);
    let is_dimension = |name: &&str| others.field_with_name(name).is_err();
    let dimensions = schema.fields().iter().map(|f| f.name().as_str()).filter(is_dimension);
    NAMES.into_iter().chain(dimensions).collect()
}

fn series_key(schema: &Schema) -> String {
    series_columns(schema).into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

fn all_columns(schema: &Schema) -> String {
    schema.fields().iter().map(|f| quoted(f.name())).collect::<Vec<_>>().join(", ")
}

fn current(schema: &Schema) -> String {
    format!(
        "SELECT {columns} FROM (SELECT *, \
         row_number() OVER (PARTITION BY {key}, fingerprint, window_end ORDER BY revision DESC) AS newest, \
         first_value(fingerprint) OVER (PARTITION BY kpi ORDER BY computed_at DESC) AS active \
         FROM kpis_internal) AS k WHERE newest = 1 AND fingerprint = active AND reason <> 'withdrawn'",
        columns = all_columns(schema),
        key = series_key(schema)
    )
}

/// Not `row_number()`: with a filter on a column of the key the plan of such a window on top of
/// those of `kpi_current` fails ("Expects PARTITION BY expression to be ordered").
fn latest(schema: &Schema) -> String {
    format!(
        "SELECT DISTINCT ON ({key}) {columns} FROM kpi_current ORDER BY {key}, window_end DESC",
        columns = all_columns(schema),
        key = series_key(schema)
    )
}

fn series(schema: &Schema) -> String {
    format!(
        "SELECT *, lead(window_end) OVER (PARTITION BY {key} ORDER BY window_end) AS valid_until FROM kpi_current",
        key = series_key(schema)
    )
}

/// `kpi_as_of(timestamp)`: the rows that were current then.
#[derive(Debug)]
struct KpiAsOf {
    kpis: Arc<dyn TableProvider>,
}

impl TableFunctionImpl for KpiAsOf {
    fn call(&self, arguments: &[Expr]) -> Result<Arc<dyn TableProvider>> {
        let [argument] = arguments else {
            return plan_err!("kpi_as_of takes a time, such as kpi_as_of('2026-11-23T12:00:00Z')");
        };
        let literal = literal(argument)?;
        let time =
            literal.cast_to(&DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())))?;
        Ok(Arc::new(AsOf { kpis: Arc::clone(&self.kpis), time }))
    }
}

fn literal(argument: &Expr) -> Result<ScalarValue> {
    match argument {
        Expr::Literal(value, _) => Ok(value.clone()),
        Expr::Cast(inner) => literal(&inner.expr),
        other => plan_err!("kpi_as_of takes a constant time, and here is {other}"),
    }
}

#[derive(Debug)]
struct AsOf {
    kpis: Arc<dyn TableProvider>,
    time: ScalarValue,
}

#[async_trait]
impl TableProvider for AsOf {
    fn schema(&self) -> SchemaRef {
        self.kpis.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::functions_window::expr_fn::{first_value, row_number};
        use datafusion::logical_expr::ExprFunctionExt;
        let schema = self.schema();
        let mut partition: Vec<Expr> = series_columns(&schema).into_iter().map(ident).collect();
        partition.extend([col("fingerprint"), col("window_end")]);
        let place = row_number()
            .partition_by(partition)
            .order_by(vec![col("revision").sort(false, false)])
            .build()?
            .alias("place");
        let active = first_value(col("fingerprint"))
            .partition_by(vec![col("kpi")])
            .order_by(vec![col("computed_at").sort(false, false)])
            .build()?
            .alias("active");
        let time = cast(lit(self.time.clone()), self.time.data_type());
        let mut columns: Vec<Expr> = schema.fields().iter().map(|f| ident(f.name())).collect();
        if let Some(indexes) = projection {
            columns = indexes.iter().map(|index| columns[*index].clone()).collect();
        }
        let plan = LogicalPlanBuilder::scan("kpis", provider_as_source(Arc::clone(&self.kpis)), None)?
            .filter(col("computed_at").lt_eq(time))?
            .window(vec![place])?
            .window(vec![active])?
            .filter(col("place").eq(lit(1u64)).and(col("fingerprint").eq(col("active"))))?
            .filter(col("reason").not_eq(lit("withdrawn")))?
            .project(columns)?
            .build()?;
        let Some(state) = session.as_any().downcast_ref::<datafusion::execution::SessionState>() else {
            return Err(DataFusionError::Internal("kpi_as_of needs a DataFusion session".to_owned()));
        };
        state.create_physical_plan(&plan).await
    }
}
