//! `satisflow check`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use satisflow_document::Problems;
use satisflow_model::Scales;

use super::say;
use crate::setup;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Configuration file; its catalog is checked with it.
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// Catalog file.
    #[arg(long)]
    catalog: Option<PathBuf>,
}

pub(crate) fn check(args: &CheckArgs) -> Result<ExitCode> {
    let mut problems = Problems::new();
    let default = Path::new("satisflow.yaml").to_owned();
    let config = args.config.clone().or_else(|| args.catalog.is_none().then_some(default));
    if let Some(path) = &config {
        match setup::load(path) {
            Ok(checked) => describe(path, &checked)?,
            Err(found) => problems.extend(found),
        }
    }
    if let Some(path) = &args.catalog
        && let Some(catalog) = setup::load_catalog(Some(path), &Scales::default(), &mut problems)
    {
        let (kpis, measures) = (catalog.metrics.len(), catalog.measures.len());
        say(&format!("{}: {kpis} KPIs, {measures} measures: in order", path.display()))?;
    }
    match problems.into_result() {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(problems) => {
            let count = problems.len();
            eprintln!("{problems}\n{count} problem{}", if count == 1 { "" } else { "s" });
            Ok(ExitCode::FAILURE)
        }
    }
}

fn describe(path: &Path, checked: &setup::Checked) -> Result<()> {
    if checked.config.customer_key.is_none() {
        eprintln!(
            "warning: {}: `privacy.customer_key` is not set: customers' ids are stored as they come",
            path.display()
        );
    }
    let topics: Vec<&str> = checked.config.sources.keys().map(String::as_str).collect();
    let kpis: Vec<&str> = checked.catalog.metrics.iter().map(|m| &*m.name).collect();
    say(&format!("{}: in order; topics {}; KPIs {}", path.display(), topics.join(", "), kpis.join(", ")))
}
