//! `satisflow audit`.

use std::process::ExitCode;

use anyhow::Result;
use satisflow_pipeline::{Audit, AuditReport};
use std::sync::Arc;

use super::say;
use crate::cli::AuditArgs;
use crate::setup;

pub(crate) async fn audit(args: AuditArgs) -> Result<ExitCode> {
    let checked = setup::load(&args.config.config)?;
    let lake = setup::configured_lake(&checked.config).await?;
    let audit = Audit::new(&lake, Arc::clone(&checked.catalog)).await?;
    if args.print_sql {
        for statement in audit.sql() {
            say(&format!("{statement};\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let report = match audit.run(&lake, args.kpi.as_deref()).await {
        Ok(report) => report,
        Err(error) => return Err(setup::explained(&lake, error.into()).await),
    };
    show(&report)?;
    Ok(if report.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(report: &AuditReport) -> Result<()> {
    for d in &report.listed {
        let [kpi, window, set] = &d.series;
        say(&format!(
            "{kpi} {window} [{set}] {} {}: {}; expected {}; published {}",
            d.group, d.window_end, d.what, d.expected, d.published
        ))?;
    }
    say(&format!("{} KPI rows compared, {} differences", report.rows, report.differences))
}
