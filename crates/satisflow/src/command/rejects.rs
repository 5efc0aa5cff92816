//! `satisflow rejects`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use arrow::array::{Array, AsArray};
use clap::{Args, Subcommand};
use futures::TryStreamExt;
use prometheus::Registry;
use satisflow_model::Reason;
use satisflow_pipeline::{RejectsCount, RejectsFilter, RejectsReplay};
use satisflow_sql::Caller;

use super::replay::source_of;
use super::{say, sql};
use crate::arguments::{ConfigArg, LakeArg};
use crate::setup;

#[derive(Debug, Subcommand)]
pub(crate) enum RejectsCommand {
    /// Count rejects by reason, and show the latest of each.
    #[command(after_help = "Examples:
  satisflow rejects list
  satisflow rejects list --lake ./lake
  satisflow sql \"select reason, field, message, topic, \\\"offset\\\" from rejects limit 20\"")]
    List(LakeArg),
    /// Write the raw payloads, a line each: to be mended and replayed.
    #[command(after_help = "Examples:
  satisflow rejects export > rejects.jsonl
  satisflow rejects export --reason off_scale > off-scale.jsonl")]
    Export {
        #[command(flatten)]
        lake: LakeArg,
        /// Only rejects of this reason.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Decode rejects again under the current configuration, and accept those that are events now.
    #[command(
        after_help = "For after a mapping, a scale or a limit was corrected. What is accepted enters the KPIs like
a late event: from the running service, or at its next start. An id that was accepted
meanwhile stays accepted, and the reject a reject. Killed or failed, it is run again.

Examples:
  satisflow rejects replay --reason off_scale --dry-run
  satisflow rejects replay --topic reviews --since 2026-11-01"
    )]
    Replay(RejectsReplayArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RejectsReplayArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Only rejects of this reason.
    #[arg(long)]
    reason: Option<String>,
    /// Only rejects of this topic.
    #[arg(long)]
    topic: Option<String>,
    /// The topic in `sources` whose mapping replayed files have; without it, where there are several,
    /// rejects of files stay.
    #[arg(long, value_name = "TOPIC")]
    source: Option<String>,
    /// Only rejects taken in at this time or later: RFC 3339, or a date, whose midnight is UTC.
    #[arg(long, value_name = "TIME", value_parser = crate::times::micros)]
    since: Option<i64>,
    /// Only rejects taken in before this time.
    #[arg(long, value_name = "TIME", value_parser = crate::times::micros)]
    until: Option<i64>,
    /// Count and change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn rejects(command: RejectsCommand) -> Result<ExitCode> {
    match command {
        RejectsCommand::List(lake) => list(lake).await,
        RejectsCommand::Export { lake, reason } => export(lake, reason).await,
        RejectsCommand::Replay(args) => replay(args).await,
    }
}

async fn list(lake: LakeArg) -> Result<ExitCode> {
    let service = sql::service(&lake).await?;
    let query = "SELECT reason, count(*) AS records, max(ingest_time) AS latest, max(message) AS message \
                 FROM rejects GROUP BY reason ORDER BY records DESC, reason";
    let rows = service.query(query, Caller::ALL).await?;
    let schema = rows.schema();
    let batches: Vec<_> = rows.try_collect().await?;
    say(&arrow::util::pretty::pretty_format_batches_with_schema(schema, &batches)?.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Raw payloads as they came, a line each: fit for `replay` once they are mended.
async fn export(lake: LakeArg, reason: Option<String>) -> Result<ExitCode> {
    let service = sql::service(&lake).await?;
    let only = reason.map(|r| format!(" AND reason = '{}'", r.replace('\'', "''"))).unwrap_or_default();
    let query =
        format!("SELECT raw FROM rejects WHERE raw IS NOT NULL{only} ORDER BY topic, \"partition\", \"offset\"");
    let mut rows = service.query(&query, Caller::ALL).await?;
    let mut out = std::io::stdout().lock();
    while let Some(batch) = rows.try_next().await? {
        let raw = batch.column(0).as_binary::<i32>();
        for row in (0..raw.len()).filter(|row| raw.is_valid(*row)) {
            out.write_all(raw.value(row))?;
            out.write_all(b"\n")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Decodes rejects again; those that are events now are accepted.
async fn replay(args: RejectsReplayArgs) -> Result<ExitCode> {
    let checked = setup::load(&args.config.config)?;
    if let Some(reason) = &args.reason {
        let known: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        anyhow::ensure!(known.contains(&reason.as_str()), "`{reason}` is no reason; there are {}", known.join(", "));
    }
    // A lake that is not there has no rejects, and is not made here.
    setup::configured_lake(&checked.config).await?;
    let parts = setup::parts(&checked, &Registry::new()).await?;
    let files_as = match args.source {
        Some(_) => Some(source_of(&checked.config, args.source.as_deref())?),
        None => source_of(&checked.config, None).ok(),
    };
    let RejectsReplayArgs { reason, topic, since, until, dry_run, .. } = args;
    let filter = RejectsFilter { reason, topic, since, until, files_as };
    let counts = RejectsReplay::new(&parts, filter, dry_run).run().await?;
    let mut all = RejectsCount::default();
    for (reason, count) in &counts {
        say(&format!("{reason}: {}", told(count, dry_run)))?;
        all.accepted += count.accepted;
        all.rejected += count.rejected;
        all.known += count.known;
        all.cut += count.cut;
    }
    say(&format!("all: {}", told(&all, dry_run)))?;
    if all.accepted > 0 && !dry_run {
        eprintln!("the KPIs follow from the running service, or at its next start");
    }
    Ok(ExitCode::SUCCESS)
}

fn told(count: &RejectsCount, dry_run: bool) -> String {
    let accepted = if dry_run { "would be accepted" } else { "accepted" };
    let RejectsCount { accepted: events, rejected, known, cut } = count;
    format!("{events} {accepted}, {rejected} still rejected, {known} of an id accepted before, {cut} not kept whole")
}
