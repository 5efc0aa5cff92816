//! `satisflow report`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use clap::{Args, ValueEnum};
use futures::TryStreamExt;
use jiff::Timestamp;
use satisflow_catalog::Catalog;
use satisflow_document::Problems;
use satisflow_kpi::WindowSpan;
use satisflow_lake::Lake;
use satisflow_model::Scales;
use satisflow_sql::{Caller, SqlService};

use super::{say, sql};
use crate::arguments::LakeArg;
use crate::report::period::{self, Period};
use crate::report::{Kpi, Report, Row, Window, render};
use crate::setup;

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    lake: LakeArg,
    /// Catalog of a lake that is named by itself; default: the core catalog.
    #[arg(long, requires = "lake")]
    catalog: Option<PathBuf>,
    /// A year (2026), half-year (2026-H1), quarter (2026-Q3), month (2026-11), ISO week (2026-W47) or day (2026-11-24).
    #[arg(long, value_parser = period::parse)]
    period: Period,
    /// Form of the report.
    #[arg(long, value_enum, default_value = "md")]
    format: ReportFormat,
    /// Only what was published by then: RFC 3339, or a date, whose midnight is UTC. Default: the last publication.
    #[arg(long, value_name = "TIME", value_parser = crate::times::micros)]
    as_of: Option<i64>,
    /// Only these KPIs.
    #[arg(long)]
    kpi: Vec<String>,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Markdown, a table a KPI.
    Md,
    /// A page.
    Html,
    /// A line a row.
    Csv,
    /// One object.
    Json,
}

pub(crate) async fn report(args: ReportArgs) -> Result<ExitCode> {
    let catalog = catalog(&args)?;
    let lake = sql::lake(&args.lake).await?;
    let report = match read(&lake, &catalog, &args).await {
        Ok(report) => report,
        Err(error) => return Err(setup::explained(&lake, error).await),
    };
    say(&match args.format {
        ReportFormat::Md => render::markdown(&report),
        ReportFormat::Html => render::html(&report),
        ReportFormat::Csv => render::csv(&report),
        ReportFormat::Json => render::json(&report)?,
    })?;
    Ok(ExitCode::SUCCESS)
}

fn catalog(args: &ReportArgs) -> Result<Arc<Catalog>> {
    let catalog = match &args.lake.lake {
        None => setup::load(&args.lake.config)?.catalog,
        Some(_) => {
            let mut problems = Problems::new();
            let catalog = setup::load_catalog(args.catalog.as_deref(), &Scales::default(), &mut problems);
            problems.into_result()?;
            Arc::new(catalog.context("the catalog can't be read")?)
        }
    };
    for name in &args.kpi {
        let known: Vec<&str> = catalog.metrics.iter().map(|metric| &*metric.name).collect();
        ensure!(known.contains(&name.as_str()), "the catalog has no KPI `{name}`; its KPIs are {}", known.join(", "));
    }
    Ok(catalog)
}

async fn read(lake: &Lake, catalog: &Catalog, args: &ReportArgs) -> Result<Report> {
    let windows = windows(catalog, &args.period)?;
    let service = sql::over(lake)?;
    let as_of = match args.as_of {
        Some(micros) => micros,
        None => last_publication(&service).await?,
    };
    // Written in one place: Arrow and jiff give the fraction of a second different lengths.
    let as_of = Timestamp::from_microsecond(as_of)?.to_string();
    let query = format!("SELECT * FROM kpi_as_of('{as_of}') WHERE {}", condition(&windows, &args.kpi));
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut batches = service.query(&query, Caller::ALL).await?;
    while let Some(batch) = batches.try_next().await? {
        add_rows(&batch, &mut rows)?;
    }
    let kpis = rows.into_iter().map(|(name, rows)| kpi(catalog, name, rows)).collect();
    Ok(Report { period: args.period.name.clone(), as_of, windows, kpis })
}

/// The catalog's windows of the period's unit, with its bounds in their zones.
fn windows(catalog: &Catalog, period: &Period) -> Result<Vec<Window>> {
    let mut found = Vec::new();
    let mut others = Vec::new();
    for window in &catalog.plan.windows {
        let WindowSpan::Calendar { unit, zone, last: 1 } = &window.span else { continue };
        if *unit != period.unit {
            others.push(format!("`{}` ({})", window.name, unit.as_str()));
            continue;
        }
        let [start, end] = period.bounds(zone)?.map(|bound| bound.to_string());
        let zone = zone.iana_name().unwrap_or("UTC").to_owned();
        found.push(Window { name: window.name.to_string(), zone, start, end });
    }
    if found.is_empty() {
        let unit = period.unit.as_str();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        bail!(
            "the catalog has no calendar window of a {unit}, so that nothing is known of {}; it has {others}: add one \
             to its `windows`, such as `{unit}: {{ calendar: {unit} }}`",
            period.name
        );
    }
    Ok(found)
}

/// µs since the epoch.
async fn last_publication(service: &SqlService) -> Result<i64> {
    let mut batches = service.query("SELECT max(computed_at) AS last FROM kpis", Caller::ALL).await?;
    let batch = batches.try_next().await?.context("no answer")?;
    ensure!(batch["last"].is_valid(0), "the lake has no KPI rows: nothing was published yet");
    Ok(batch["last"].as_primitive::<TimestampMicrosecondType>().value(0))
}

fn condition(windows: &[Window], kpis: &[String]) -> String {
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let window = |w: &Window| {
        let [name, start, end] = [&w.name, &w.start, &w.end].map(|part| text(part));
        format!("(window_name = {name} AND window_start = {start} AND window_end = {end})")
    };
    let windows = windows.iter().map(window).collect::<Vec<_>>().join(" OR ");
    if kpis.is_empty() {
        return windows;
    }
    let kpis: Vec<String> = kpis.iter().map(|kpi| text(kpi)).collect();
    format!("({windows}) AND kpi IN ({})", kpis.join(", "))
}

fn add_rows(batch: &RecordBatch, rows: &mut BTreeMap<String, Vec<Row>>) -> Result<()> {
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let dimensions =
        names.skip_while(|name| *name != "grouping_set").skip(1).take_while(|name| *name != "window_start");
    let dimensions: Vec<&str> = dimensions.collect();
    for row in 0..batch.num_rows() {
        let cells = Cells { batch, row };
        rows.entry(cells.text("kpi")?).or_default().push(cells.row(&dimensions)?);
    }
    Ok(())
}

/// One row of a batch.
struct Cells<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl Cells<'_> {
    fn column(&self, name: &str) -> Result<&ArrayRef> {
        self.batch.column_by_name(name).with_context(|| format!("the lake's KPI rows have no column `{name}`"))
    }

    fn optional(&self, name: &str) -> Result<Option<String>> {
        let column = self.column(name)?;
        Ok(column.is_valid(self.row).then(|| array_value_to_string(column, self.row)).transpose()?)
    }

    fn text(&self, name: &str) -> Result<String> {
        Ok(self.optional(name)?.unwrap_or_default())
    }

    fn float(&self, name: &str) -> Result<Option<f64>> {
        let column = self.column(name)?.as_primitive_opt::<Float64Type>().with_context(|| name.to_owned())?;
        Ok(column.is_valid(self.row).then(|| column.value(self.row)))
    }

    fn row(&self, dimensions: &[&str]) -> Result<Row> {
        let grouped = dimensions.iter().map(|name| Ok(self.optional(name)?.map(|value| ((*name).to_owned(), value))));
        Ok(Row {
            window_name: self.text("window_name")?,
            grouping_set: self.text("grouping_set")?,
            group: grouped.filter_map(Result::transpose).collect::<Result<_>>()?,
            window_start: self.text("window_start")?,
            window_end: self.text("window_end")?,
            value: self.optional("value")?,
            numerator: self.text("numerator")?,
            denominator: self.text("denominator")?,
            n: self.text("n")?.parse()?,
            n_eff: self.float("n_eff")?,
            se: self.float("se")?,
            ci_low: self.float("ci_low")?,
            ci_high: self.float("ci_high")?,
            status: self.text("status")?,
            revision: self.text("revision")?.parse()?,
            reason: self.text("reason")?,
            computed_at: self.text("computed_at")?,
            fingerprint: self.text("fingerprint")?,
        })
    }
}

/// A KPI with its rows sorted; what the catalog says of it.
fn kpi(catalog: &Catalog, name: String, mut rows: Vec<Row>) -> Kpi {
    // Series and end tell rows apart, and come first in their order.
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let metric = catalog.metrics.iter().find(|metric| *metric.name == *name);
    let [description, unit] =
        metric.map(|metric| [metric.description.clone(), metric.unit.clone()]).unwrap_or_default();
    Kpi { name, description, unit, rows }
}
