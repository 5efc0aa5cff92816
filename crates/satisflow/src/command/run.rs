//! `satisflow run`.

use std::num::NonZeroU64;
use std::process::ExitCode;

use anyhow::{Context, Result};
use prometheus::Registry;
use satisflow_kafka::KafkaConfig;
use satisflow_pipeline::{SelfAudit, Service, ServiceParts};
use tokio_util::sync::CancellationToken;

use super::serve::{Listeners, Serving};
use crate::cli::RunArgs;
use crate::setup;

pub(crate) async fn run(args: RunArgs) -> Result<ExitCode> {
    // First of all: whoever is told to stop while it starts ends in order, too.
    let stop = CancellationToken::new();
    satisflow_runtime::stop_on_signal(stop.clone())?;
    let checked = setup::load(&args.config.config)?;
    let kafka =
        checked.config.kafka.clone().context("the configuration has no `kafka`: add `kafka: { brokers: ... }`")?;
    let listeners = Listeners::bind(&checked.config).await?;
    let (sql, http) = listeners.addresses()?;
    let registry = Registry::new();
    let parts = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
        parts = setup::parts(&checked, &registry) => parts?,
    };
    tracing::info!("SQL at {sql}: psql -h {} -p {} satisflow", sql.ip(), sql.port());
    tracing::info!("metrics at http://{http}/metrics, SQL over HTTP at http://{http}/sql");
    serve_and_collect(listeners, parts, registry, kafka, stop, args.exit_at_end).await?;
    Ok(ExitCode::SUCCESS)
}

/// Serves while collecting, and a little longer: stop polling, commit, stop serving.
pub(crate) async fn serve_and_collect(
    listeners: Listeners,
    parts: ServiceParts,
    registry: Registry,
    kafka: KafkaConfig,
    stop: CancellationToken,
    exit_at_end: bool,
) -> Result<()> {
    let lake = std::sync::Arc::clone(&parts.lake);
    let serving = Serving::start(listeners, &parts, &registry)?;
    let maintenance = tokio::spawn(maintain(parts.clone(), stop.clone()));
    let audit = SelfAudit::new(parts.clone(), &registry)?.map(|audit| spawn_audit(audit, stop.clone()));
    let collected = Service::run(parts, kafka, stop.clone(), exit_at_end).await;
    stop.cancel();
    if maintenance.await.is_err() {
        tracing::error!("maintenance has panicked");
    }
    if let Some(audit) = audit
        && audit.await.is_err()
    {
        tracing::error!("the audit has panicked");
    }
    serving.stop().await;
    match collected {
        Ok(()) => Ok(()),
        Err(error) => Err(setup::explained(&lake, error.into()).await),
    }
}

/// Runs the audit on a thread of its own: planning many statements must not
/// keep those that serve and collect waiting.
fn spawn_audit(audit: SelfAudit, stop: CancellationToken) -> tokio::task::JoinHandle<()> {
    tokio::task::spawn_blocking(move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(audit.run(stop)),
        Err(error) => tracing::error!(%error, "the service can't audit itself: no thread is to be had"),
    })
}

/// Compaction, checkpoints and vacuum, by the process that publishes.
async fn maintain(parts: ServiceParts, stop: CancellationToken) {
    let Some(interval) = parts.config.compact_interval else { return };
    let target = NonZeroU64::new(parts.config.file_bytes_max).unwrap_or(NonZeroU64::MIN);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        if parts.shared.look(|_| ()).is_none() {
            continue;
        }
        match parts.lake.maintain(target).await {
            Ok((done, deleted)) => tracing::info!(?done, deleted, "the lake is compacted"),
            Err(error) => tracing::warn!(%error, "the lake could not be compacted; it is as it was"),
        }
    }
}
