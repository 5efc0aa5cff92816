//! `satisflow rejects`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use arrow::array::{Array, AsArray};
use futures::TryStreamExt;
use prometheus::Registry;
use satisflow_model::Reason;
use satisflow_pipeline::{RejectsCount, RejectsFilter, RejectsReplay};
use satisflow_sql::Caller;

use super::replay::source_of;
use super::{say, sql};
use crate::cli::{LakeArg, RejectsReplayArgs};
use crate::setup;

pub(crate) async fn list(lake: LakeArg) -> Result<ExitCode> {
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
pub(crate) async fn export(lake: LakeArg, reason: Option<String>) -> Result<ExitCode> {
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
pub(crate) async fn replay(args: RejectsReplayArgs) -> Result<ExitCode> {
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
