//! `satisflow sql`, and results as text.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use arrow::array::RecordBatch;
use clap::Args;
use datafusion::catalog::TableProvider;
use futures::TryStreamExt;
use prometheus::Registry;
use satisflow_lake::{Lake, StoreOptions};
use satisflow_sql::{Caller, SqlLimits, SqlMetrics, SqlService, Tables};

use super::say;
use crate::arguments::{Format, LakeArg};
use crate::setup;

#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    #[command(flatten)]
    lake: LakeArg,
    /// The query.
    query: String,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(crate) async fn sql(args: SqlArgs) -> Result<ExitCode> {
    let lake = lake(&args.lake).await?;
    match print_rows(&*over(&lake)?, &args).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(setup::explained(&lake, error).await),
    }
}

async fn print_rows(service: &SqlService, args: &SqlArgs) -> Result<()> {
    let mut rows = service.query(&args.query, Caller::ALL).await?;
    let schema = rows.schema();
    let mut batches = Vec::new();
    while let Some(batch) = rows.try_next().await? {
        match args.format {
            Format::Table => batches.push(batch),
            format => print_batch(&batch, format, batches.is_empty())?,
        }
        if args.format != Format::Table && batches.is_empty() {
            batches.push(RecordBatch::new_empty(Arc::clone(&schema)));
        }
    }
    if args.format == Format::Table {
        let table = arrow::util::pretty::pretty_format_batches_with_schema(schema, &batches)?;
        say(&table.to_string())?;
    }
    Ok(())
}

/// Nobody else waits for a statement of one's own; Ctrl-C ends it.
const OFFLINE_TIMEOUT: Duration = Duration::from_secs(86_400);

/// SQL over a lake with no service running.
pub(crate) async fn service(args: &LakeArg) -> Result<Arc<SqlService>> {
    over(&*lake(args).await?)
}

/// The lake itself, or that of a configuration, for reading.
pub(crate) async fn lake(args: &LakeArg) -> Result<Arc<Lake>> {
    match &args.lake {
        Some(url) => setup::read_lake(url, StoreOptions::default()).await,
        None => setup::configured_lake(&setup::load(&args.config)?.config).await,
    }
}

/// SQL over an open lake.
pub(crate) fn over(lake: &Lake) -> Result<Arc<SqlService>> {
    let alerts = lake.alerts_provider().map(|alerts| alerts as Arc<dyn TableProvider>);
    let tables = Tables { records: lake.live_records(), kpis: lake.kpis_provider(), alerts, kpi_live: None };
    let limits = SqlLimits { statement_timeout: OFFLINE_TIMEOUT, ..SqlLimits::default() };
    Ok(SqlService::new(&tables, limits, SqlMetrics::new(&Registry::new())?, [Caller::ALL])?)
}

/// Prints rows as they come.
pub(crate) fn print_batch(batch: &RecordBatch, format: Format, heading: bool) -> Result<()> {
    let mut text = Vec::new();
    match format {
        Format::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new().with_header(heading).build(&mut text);
            writer.write(batch)?;
        }
        Format::Json | Format::Table => {
            let mut writer = arrow::json::LineDelimitedWriter::new(&mut text);
            writer.write(batch)?;
            writer.finish()?;
        }
    }
    let text = String::from_utf8(text)?;
    if text.is_empty() { Ok(()) } else { say(text.trim_end_matches('\n')) }
}
