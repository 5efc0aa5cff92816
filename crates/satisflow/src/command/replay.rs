//! `satisflow replay`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use prometheus::Registry;
use satisflow_pipeline::Replay;

use crate::cli::ReplayArgs;
use crate::setup;

pub(crate) async fn replay(args: ReplayArgs) -> Result<ExitCode> {
    let checked = setup::load(&args.config.config)?;
    let parts = setup::parts(&checked, &Registry::new()).await?;
    let (metrics, lake) = (parts.metrics.clone(), Arc::clone(&parts.lake));
    let bar = progress_bar(&args)?;
    let told = bar.clone();
    let replay = Replay { parts, files: args.files, progress: Box::new(move |bytes| told.inc(bytes)) };
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

/// On a terminal only.
fn progress_bar(args: &ReplayArgs) -> Result<ProgressBar> {
    let size = |path: &std::path::PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let bar = ProgressBar::with_draw_target(Some(args.files.iter().map(size).sum()), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}")?);
    Ok(bar)
}
