//! `satisflow audit`.

use std::process::ExitCode;

use anyhow::Result;
use satisflow_pipeline::{Audit, AuditReport, AuditScope, Ends};
use std::sync::Arc;

use super::say;
use crate::cli::AuditArgs;
use crate::setup;

pub(crate) async fn audit(args: AuditArgs) -> Result<ExitCode> {
    let checked = setup::load(&args.config.config)?;
    let lake = setup::configured_lake(&checked.config).await?;
    let scope = AuditScope { kpi: args.kpi, ends: Ends { since: args.since, until: args.until } };
    if let Some(name) = &scope.kpi {
        let known = checked.catalog.plan.definitions.iter().any(|definition| *definition.name == **name);
        anyhow::ensure!(known, "the catalog has no KPI `{name}`");
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
    for difference in &report.listed {
        say(&difference.to_string())?;
    }
    say(&format!("{} KPI rows compared, {} differences", report.rows, report.differences))
}
