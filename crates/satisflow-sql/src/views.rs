//! The published views, over tables that clients can't name.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, lit};
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
const TABLES: &[&str] = &["events", "rejects", "duplicates", "kpis", "kpi_live", "alerts"];

/// A view that clients see as a table or a view.
#[derive(Debug)]
pub(crate) struct Published {
    view: ViewTable,
    kind: TableType,
    /// What clients are told that it is.
    definition: Option<String>,
}

impl Published {
    pub(crate) fn new(view: ViewTable, kind: TableType) -> Published {
        Published { view, kind, definition: None }
    }

    /// With the definition that is shown: that of a view, with the names that its tables have outside.
    fn defined(self, sql: &str) -> Published {
        let shown = OUTSIDE.iter().fold(sql.to_owned(), |sql, (inside, outside)| sql.replace(inside, outside));
        Published { definition: (self.kind == TableType::View).then_some(shown), ..self }
    }
}

/// Names of tables within views, and what clients know them as; `records` is the lake's.
const OUTSIDE: &[(&str, &str)] =
    &[("records_internal", "records"), ("kpis_internal", "kpis"), ("alerts_internal", "alerts")];

#[async_trait]
impl TableProvider for Published {
    fn schema(&self) -> SchemaRef {
        self.view.schema()
    }

    fn table_type(&self) -> TableType {
        self.kind
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.definition.as_deref()
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
    let alerts = match tables.alerts {
        Some(alerts) => alerts,
        None => Arc::new(MemTable::try_new(satisflow_alerts::alerts_schema(&[]), vec![vec![]])?),
    };
    let open_alerts = open_alerts(&alerts.schema());
    let shown = if caller.raw_data { tables.records } else { hidden(tables.records)? };
    context.register_table("records_internal", shown)?;
    context.register_table("kpis_internal", Arc::clone(&tables.kpis))?;
    context.register_table("kpi_live_internal", live)?;
    context.register_table("alerts_internal", alerts)?;
    let list = [
        ("events", events(&records)),
        ("events_distinct", distinct(&records)),
        ("event_answers", answers()),
        ("rejects", rejects()),
        ("duplicates", duplicates()),
        ("kpis", "SELECT * FROM kpis_internal".to_owned()),
        ("kpi_current", current(&kpis, "kpis_internal")),
        ("kpi_latest", latest(&kpis)),
        ("kpi_series", series(&kpis)),
        ("kpi_live", "SELECT * FROM kpi_live_internal".to_owned()),
        ("alerts", "SELECT * FROM alerts_internal".to_owned()),
        ("alerts_open", open_alerts),
    ];
    for (name, sql) in list {
        // Planning a view reads no rows, so that waiting here is short.
        let plan = block_on(context.sql(&sql))?.into_unoptimized_plan();
        let view = ViewTable::new(plan, None);
        let kind = if TABLES.contains(&name) { TableType::Base } else { TableType::View };
        context.register_table(name, Arc::new(Published::new(view, kind).defined(&sql)))?;
    }
    let as_of = current(&kpis, "(SELECT * FROM kpis_internal WHERE computed_at <= $1)");
    let plan = block_on(context.sql(&as_of))?.into_unoptimized_plan();
    context.register_udtf("kpi_as_of", Arc::new(KpiAsOf { plan }));
    for name in ["records_internal", "kpis_internal", "kpi_live_internal", "alerts_internal"] {
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
    NAMES.into_iter().chain(dimensions(schema, &satisflow_kpi::kpis_schema(&[]))).collect()
}

/// The columns that a table has beside its own.
fn dimensions<'a>(schema: &'a Schema, own: &Schema) -> Vec<&'a str> {
    let names = schema.fields().iter().map(|f| f.name().as_str());
    names.filter(|name| own.field_with_name(name).is_err()).collect()
}

fn series_key(schema: &Schema) -> String {
    series_columns(schema).into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

fn all_columns(schema: &Schema) -> String {
    schema.fields().iter().map(|f| quoted(f.name())).collect::<Vec<_>>().join(", ")
}

/// Of `rows` those without a later revision, of the fingerprint that published last. Nearly all rows are the first of
/// theirs: to look for the few restated ones is quicker than to sort all.
fn current(schema: &Schema, rows: &str) -> String {
    let key = series_columns(schema);
    // NULL means that a dimension is not grouped, for all rows of a grouping set: an empty text stands for it.
    let is_same = |name: &&str| match schema.field_with_name(name) {
        Ok(field) if field.is_nullable() => format!("coalesce(r.{n}, '') = coalesce(k.{n}, '')", n = quoted(name)),
        _ => format!("r.{n} = k.{n}", n = quoted(name)),
    };
    let columns = schema.fields().iter().map(|f| format!("k.{}", quoted(f.name()))).collect::<Vec<_>>();
    format!(
        "SELECT {columns} FROM {rows} AS k JOIN (SELECT kpi, first_value(fingerprint ORDER BY computed_at DESC) \
         AS fingerprint FROM {rows} AS f GROUP BY kpi) AS a ON a.kpi = k.kpi AND a.fingerprint = k.fingerprint \
         WHERE k.reason <> 'withdrawn' AND NOT EXISTS (SELECT 1 FROM {rows} AS r WHERE r.revision > 1 AND \
         r.revision > k.revision AND r.window_end = k.window_end AND r.fingerprint = k.fingerprint AND {same})",
        columns = columns.join(", "),
        same = key.iter().map(is_same).collect::<Vec<_>>().join(" AND "),
    )
}

/// The last row of each alert that has not cleared.
fn open_alerts(schema: &Schema) -> String {
    let dimensions = dimensions(schema, &satisflow_alerts::alerts_schema(&[]));
    let key = ["alert_name", "window_name", "grouping_set", "alert_severity"].into_iter().chain(dimensions).map(quoted);
    format!(
        "SELECT {columns} FROM (SELECT *, \
         row_number() OVER (PARTITION BY {key} ORDER BY alert_sequence DESC) AS newest \
         FROM alerts_internal) AS a WHERE newest = 1 AND alert_state <> 'clear'",
        columns = all_columns(schema),
        key = key.collect::<Vec<_>>().join(", ")
    )
}

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
    /// The time is its parameter.
    plan: LogicalPlan,
}

impl TableFunctionImpl for KpiAsOf {
    fn call(&self, arguments: &[Expr]) -> Result<Arc<dyn TableProvider>> {
        let [argument] = arguments else {
            return plan_err!("kpi_as_of takes a time, such as kpi_as_of('2026-11-23T12:00:00Z')");
        };
        let literal = literal(argument)?;
        let time =
            literal.cast_to(&DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())))?;
        let plan = self.plan.clone().with_param_values(vec![time])?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}

fn literal(argument: &Expr) -> Result<ScalarValue> {
    match argument {
        Expr::Literal(value, _) => Ok(value.clone()),
        Expr::Cast(inner) => literal(&inner.expr),
        other => plan_err!("kpi_as_of takes a constant time, and here is {other}"),
    }
}
