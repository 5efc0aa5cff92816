//! `satisflow rules`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use satisflow_alerts::{Kind, Rule};
use satisflow_catalog::Catalog;
use satisflow_document::Problems;
use satisflow_model::Scales;
use satisflow_rules::{Decision, Settings, Side, Threshold, rule_file, rule_tests};

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
    /// Where the page is reached, for the links of notifications; default that of the configuration.
    #[arg(long, value_name = "URL")]
    external_url: Option<String>,
    /// Print tests for `promtool test rules` instead, of the rule file of this name.
    #[arg(long, value_name = "FILE")]
    tests: Option<String>,
}

pub(crate) fn rules(args: &RulesArgs) -> Result<ExitCode> {
    let (catalog, external_url) = catalog(args)?;
    let settings = Settings {
        job: args.job.clone(),
        stale_after_secs: args.stale_after_secs,
        lag_records_max: args.lag_records_max,
        reject_percent_max: args.reject_percent_max,
        external_url: args.external_url.clone().or(external_url),
    };
    let thresholds: Vec<Threshold> = catalog.metrics.iter().flat_map(|metric| metric.alerts.clone()).collect();
    let decided = catalog.alert_rules();
    let decisions: Vec<Decision> = decided.iter().filter(|rule| !is_bound(rule)).map(decision).collect();
    let text = match &args.tests {
        Some(file) => rule_tests(file, &settings, &thresholds, &decisions),
        None => rule_file(&settings, &thresholds, &decisions),
    };
    say(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Prometheus compares with bounds by itself.
fn is_bound(rule: &Rule) -> bool {
    matches!(rule.kind, Kind::Bound { .. })
}

fn decision(rule: &Rule) -> Decision {
    Decision {
        alert: rule.alert.clone(),
        rule: rule.kind.as_str().to_owned(),
        kpi: rule.kpi.clone(),
        description: rule.description.clone(),
        unit: rule.unit.clone(),
        window: rule.window.to_string(),
        dimensions: rule.dimensions.iter().map(ToString::to_string).collect(),
        side: match rule.side {
            satisflow_alerts::Side::Below => Side::Below,
            satisflow_alerts::Side::Above => Side::Above,
        },
        severity: rule.severity.clone(),
    }
}

/// The catalog, and where the configuration says that the page is reached.
fn catalog(args: &RulesArgs) -> Result<(Arc<Catalog>, Option<String>)> {
    let Some(path) = &args.catalog else {
        let checked = setup::load(&args.config)?;
        return Ok((checked.catalog, checked.config.external_url.clone()));
    };
    let mut problems = Problems::new();
    let catalog = setup::load_catalog(Some(path), &Scales::default(), &mut problems);
    problems.into_result()?;
    let catalog = catalog.context("the catalog does not hold")?;
    Ok((Arc::new(catalog), None))
}
