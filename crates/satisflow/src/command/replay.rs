//! `satisflow replay`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use prometheus::Registry;
use satisflow_config::Config;
use satisflow_pipeline::Replay;

use crate::arguments::ConfigArg;
use crate::setup;

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Files of JSON lines.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The topic in `sources` whose mapping the files have; needed where there are several.
    #[arg(long, value_name = "TOPIC")]
    source: Option<String>,
    #[command(flatten)]
    config: ConfigArg,
}

pub(crate) async fn replay(args: ReplayArgs) -> Result<ExitCode> {
    let checked = setup::load(&args.config.config)?;
    let source = source_of(&checked.config, args.source.as_deref())?;
    let parts = setup::parts(&checked, &Registry::new()).await?;
    let (metrics, lake) = (parts.metrics.clone(), Arc::clone(&parts.lake));
    let bar = progress_bar(&args)?;
    let told = bar.clone();
    let replay = Replay { parts, files: args.files, source, progress: Box::new(move |bytes| told.inc(bytes)) };
    let report = match replay.run().await {
        Ok(report) => report,
        Err(error) => return Err(setup::explained(&lake, error.into()).await),
    };
    bar.finish_and_clear();
    eprintln!(
        "{} records taken, {} taken before; {} KPI rows, {} of them restated",
        report.records,
        report.skipped,
        metrics.kpi_rows.get(),
        metrics.restatements.get()
    );
    Ok(ExitCode::SUCCESS)
}

/// The source that files are read as: the one that is asked for, or the only one.
pub(crate) fn source_of(config: &Config, asked: Option<&str>) -> Result<String> {
    let names: Vec<&str> = config.sources.keys().map(String::as_str).collect();
    match (asked, names.as_slice()) {
        (Some(name), names) if names.contains(&name) => Ok(name.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (Some(name), names) => bail!("`--source {name}`: the configuration has the sources {}", names.join(", ")),
        (None, names) => bail!("say `--source TOPIC`, whose mapping the files have: one of {}", names.join(", ")),
    }
}

/// On a terminal only.
fn progress_bar(args: &ReplayArgs) -> Result<ProgressBar> {
    let size = |path: &std::path::PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let bar = ProgressBar::with_draw_target(Some(args.files.iter().map(size).sum()), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}")?);
    Ok(bar)
}
