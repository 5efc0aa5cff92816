//! `satisflow run`.

use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use prometheus::Registry;
use satisflow_kafka::KafkaConfig;
use satisflow_pipeline::{SelfAudit, Service, ServiceParts};
use satisflow_webhooks::Webhooks;
use tokio_util::sync::CancellationToken;

use super::serve::{Listeners, Serving};
use crate::arguments::ConfigArg;
use crate::setup;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Read what is there, close every window, and exit.
    #[arg(long)]
    exit_at_end: bool,
}

pub(crate) async fn run(args: RunArgs) -> Result<ExitCode> {
    // First of all: whoever is told to stop while it starts ends in order, too.
    let stop = CancellationToken::new();
    satisflow_runtime::stop_on_signal(stop.clone())?;
    let checked = setup::load(&args.config.config)?;
    let kafka =
        checked.config.kafka.clone().context("the configuration has no `kafka`: add `kafka: { brokers: ... }`")?;
    let listeners = Listeners::bind(&checked.config).await?;
    let (sql, http) = listeners.addresses()?;
    let flight = listeners.flight_address()?;
    let registry = Registry::new();
    let parts = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
        parts = setup::parts(&checked, &registry) => parts?,
    };
    tracing::info!("SQL at {sql}: psql -h {} -p {} satisflow", sql.ip(), sql.port());
    let web = format!("{}://{http}", if checked.config.http.tls.is_some() { "https" } else { "http" });
    tracing::info!("the page at {web}/, metrics at {web}/metrics, SQL over HTTP at {web}/sql");
    if let Some(flight) = flight {
        let scheme = if checked.config.tls.is_some() { "grpc+tls" } else { "grpc" };
        tracing::info!("Flight SQL at {scheme}://{flight}");
    }
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
    let lake = Arc::clone(&parts.lake);
    let serving = Serving::start(listeners, &parts, &registry)?;
    let maintenance = tokio::spawn(maintain(parts.clone(), stop.clone()));
    let audit = SelfAudit::new(parts.clone(), &registry)?.map(|audit| spawn_audit(audit, stop.clone()));
    let webhooks = start_webhooks(&parts, &registry, stop.clone()).await?;
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
    if webhooks.await.is_err() {
        tracing::error!("telling webhooks has panicked");
    }
    serving.stop().await;
    match collected {
        Ok(()) => Ok(()),
        Err(error) => Err(setup::explained(&lake, error.into()).await),
    }
}

/// Tells receivers of what changes from here on, and of what an earlier process has left untold.
async fn start_webhooks(
    parts: &ServiceParts,
    registry: &Registry,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<()>> {
    let shared = parts.shared.clone();
    let is_publisher = Arc::new(move || shared.look(|_| ()).is_some());
    let (lake, receivers) = (Arc::clone(&parts.lake), parts.config.webhooks.clone());
    let webhooks = Webhooks::new(lake, receivers, parts.config.external_url.clone(), is_publisher, registry)?;
    webhooks.begin().await?;
    Ok(tokio::spawn(webhooks.run(stop)))
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
        // Broken off it leaves files that nobody names, as a kill does; a vacuum removes them.
        match stop.run_until_cancelled(parts.lake.maintain(target)).await {
            None => return,
            Some(Ok((done, deleted))) => tracing::info!(?done, deleted, "the lake is compacted"),
            Some(Err(error)) => tracing::warn!(%error, "the lake could not be compacted; it is as it was"),
        }
    }
}
