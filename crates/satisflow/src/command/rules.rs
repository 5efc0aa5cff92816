//! `satisflow rules`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use satisflow_catalog::Catalog;
use satisflow_document::Problems;
use satisflow_model::Scales;
use satisflow_rules::{Settings, Threshold, rule_file, rule_tests};

use super::say;
use crate::setup;

#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// Configuration file; its catalog is read.
    #[arg(long, short, default_value = "satisflow.yaml")]
    config: PathBuf,
    /// Catalog file; no configuration is read then.
    #[arg(long)]
    catalog: Option<PathBuf>,
    /// Prometheus's `job` of the service.
    #[arg(long, default_value = "satisflow")]
    job: String,
    /// The feed is stale when its newest event is so old, s.
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::default().stale_after_secs)]
    stale_after_secs: u32,
    /// Records of a topic that may wait in Kafka.
    #[arg(long, value_name = "RECORDS", default_value_t = Settings::default().lag_records_max)]
    lag_records_max: u32,
    /// Percent of a topic's records that may be rejected.
    #[arg(long, value_name = "PERCENT", default_value_t = Settings::default().reject_percent_max)]
    reject_percent_max: u32,
    /// Print tests for `promtool test rules` instead, of the rule file of this name.
    #[arg(long, value_name = "FILE")]
    tests: Option<String>,
}

pub(crate) fn rules(args: &RulesArgs) -> Result<ExitCode> {
    let settings = Settings {
        job: args.job.clone(),
        stale_after_secs: args.stale_after_secs,
        lag_records_max: args.lag_records_max,
        reject_percent_max: args.reject_percent_max,
    };
    let thresholds = thresholds(args)?;
    let text = match &args.tests {
        Some(file) => rule_tests(file, &settings, &thresholds),
        None => rule_file(&settings, &thresholds),
    };
    say(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn thresholds(args: &RulesArgs) -> Result<Vec<Threshold>> {
    let of = |catalog: &Catalog| catalog.metrics.iter().flat_map(|metric| metric.alerts.clone()).collect();
    let Some(path) = &args.catalog else { return Ok(of(&setup::load(&args.config)?.catalog)) };
    let mut problems = Problems::new();
    let catalog = setup::load_catalog(Some(path), &Scales::default(), &mut problems);
    problems.into_result()?;
    Ok(catalog.iter().flat_map(of).collect())
}
