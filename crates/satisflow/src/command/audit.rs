//! `satisflow audit`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use clap::Args;
use satisflow_pipeline::{Audit, AuditReport, AuditScope, Difference, Ends};

use super::say;
use crate::arguments::ConfigArg;
use crate::setup;

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// One KPI only.
    #[arg(long)]
    kpi: Option<String>,
    /// Windows that end at this time or later: RFC 3339, or a date, whose midnight is UTC.
    #[arg(long, value_name = "TIME", value_parser = crate::times::micros)]
    since: Option<i64>,
    /// Windows that end before this time.
    #[arg(long, value_name = "TIME", value_parser = crate::times::micros)]
    until: Option<i64>,
    /// Decide every alert anew from the rows of `kpis`, and compare with the table `alerts`.
    #[arg(long, conflicts_with_all = ["kpi", "since", "until", "print_sql"])]
    alerts: bool,
    /// Print the SQL and do nothing else.
    #[arg(long)]
    print_sql: bool,
}

pub(crate) async fn audit(args: AuditArgs) -> Result<ExitCode> {
    let checked = setup::load(&args.config.config)?;
    let lake = setup::configured_lake(&checked.config).await?;
    let scope = AuditScope { kpi: args.kpi, ends: Ends { since: args.since, until: args.until } };
    if let Some(name) = &scope.kpi {
        let known = checked.catalog.plan.definitions.iter().any(|definition| *definition.name == **name);
        anyhow::ensure!(known, "the catalog has no KPI `{name}`");
    }
    if args.alerts {
        let report = match satisflow_pipeline::audit_alerts(&lake, &checked.catalog).await {
            Ok(report) => report,
            Err(error) => return Err(setup::explained(&lake, error.into()).await),
        };
        report.differences.iter().try_for_each(|line| say(line))?;
        say(&format!("{} alert rows compared, {} differences", report.rows, report.differences.len()))?;
        return Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let audit = Audit::new(&lake, Arc::clone(&checked.catalog)).await?;
    if args.print_sql {
        for statement in audit.sql(&scope) {
            say(&format!("{statement};\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let report = match audit.run(&lake, &scope).await {
        Ok(report) => report,
        Err(error) => return Err(setup::explained(&lake, error.into()).await),
    };
    show(&report)?;
    Ok(if report.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(report: &AuditReport) -> Result<()> {
    if !report.listed.is_empty() {
        say(&table(&report.listed)?)?;
    }
    say(&format!("{} KPI rows compared, {} differences", report.rows, report.differences))
}

/// A column and what a difference says in it.
type Column = (&'static str, fn(&Difference) -> &str);

const COLUMNS: [Column; 8] = [
    ("kpi", |d| &d.series[0]),
    ("window", |d| &d.series[1]),
    ("grouping_set", |d| &d.series[2]),
    ("group", |d| &d.group),
    ("window_end", |d| &d.window_end),
    ("differs", |d| &d.what),
    ("expected: n, sum_w, numerator, denominator", |d| &d.expected),
    ("published", |d| &d.published),
];

fn table(differences: &[Difference]) -> Result<String> {
    let column = |(name, of): Column| -> (&str, ArrayRef) {
        (name, Arc::new(StringArray::from_iter_values(differences.iter().map(of))))
    };
    let batch = RecordBatch::try_from_iter(COLUMNS.map(column))?;
    Ok(pretty_format_batches(&[batch])?.to_string())
}
