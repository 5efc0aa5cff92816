//! Receivers of changes of alerts.
//!
//! - Each row of the table `alerts` is posted to each receiver, in the table's
//!   order. The next one waits until a receiver has answered with a 2xx status,
//!   or has been tried for its time.
//! - How far a receiver was told stands in the table's log. A process that ends
//!   between an answer and that may tell again: with the same idempotency key.
//! - The queue is the table: nothing waits in memory but one row for each receiver.

mod body;
mod sender;
mod signature;

pub use body::body;
pub use signature::signature;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use satisflow_alerts::{AlertRow, rows_of};
use satisflow_config::WebhookSettings;
use satisflow_lake::{CommitError, KpisCommit, Lake, LakeError, TOLD};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use sender::Sender;

/// How often the table is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// Pause after the lake could not be read or written.
const TROUBLE_PAUSE: Duration = Duration::from_secs(5);

/// Why receivers can't be told.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The lake can't be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The lake can't be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Rows can't be read.
    #[error("reading alerts: {0}")]
    Rows(String),
    /// No client is to be had.
    #[error("webhooks: {0}")]
    Client(#[from] reqwest::Error),
    /// A metric can't be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Counters, by receiver.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    sent: IntCounterVec,
    failures: IntCounterVec,
    dropped: IntCounterVec,
    waiting: IntGaugeVec,
}

impl Metrics {
    fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &["webhook"])?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let help = "Changes of alerts that wait to be told.";
        let waiting = IntGaugeVec::new(Opts::new("satisflow_webhook_waiting_changes", help), &["webhook"])?;
        registry.register(Box::new(waiting.clone()))?;
        Ok(Metrics {
            sent: counter("satisflow_webhook_sent_total", "Changes of alerts that a receiver has taken.")?,
            failures: counter("satisflow_webhook_failures_total", "Attempts that failed and are made again.")?,
            dropped: counter("satisflow_webhook_dropped_total", "Changes of alerts that no attempt could tell.")?,
            waiting,
        })
    }
}

/// Whether this process is the one that publishes, and so tells.
pub type IsPublisher = Arc<dyn Fn() -> bool + Send + Sync>;

/// The receivers of a lake's alerts.
pub struct Webhooks {
    lake: Arc<Lake>,
    receivers: BTreeMap<String, WebhookSettings>,
    external_url: Option<String>,
    is_publisher: IsPublisher,
    metrics: Metrics,
}

impl Webhooks {
    /// Tells nobody yet.
    ///
    /// # Errors
    /// When a metric's name is taken.
    pub fn new(
        lake: Arc<Lake>,
        receivers: BTreeMap<String, WebhookSettings>,
        external_url: Option<String>,
        is_publisher: IsPublisher,
        registry: &Registry,
    ) -> Result<Webhooks, WebhookError> {
        let metrics = Metrics::new(registry)?;
        Ok(Webhooks { lake, receivers, external_url, is_publisher, metrics })
    }

    /// A receiver that is new is told of what comes from here on.
    ///
    /// # Errors
    /// When the lake can't be read or written.
    pub async fn begin(&self) -> Result<(), WebhookError> {
        for name in self.receivers.keys() {
            let id = format!("{TOLD}{name}");
            let view = self.lake.alerts().await?;
            if view.transaction(&id).await?.is_some() {
                continue;
            }
            let last = self.rows_after(i64::MIN).await?.last().map_or(0, |row| row.sequence);
            match self.tell(name, None, last).await {
                // Another process has just begun with it.
                Err(WebhookError::Commit(CommitError::Fenced { .. })) => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// Tells receivers until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let all = Arc::new(self);
        let mut tasks = JoinSet::new();
        for name in all.receivers.keys().cloned().collect::<Vec<_>>() {
            let (all, stop) = (Arc::clone(&all), stop.clone());
            tasks.spawn(async move { stop.run_until_cancelled(all.serve(&name)).await });
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn serve(&self, name: &str) {
        let Some(settings) = self.receivers.get(name) else { return };
        let sender = match Sender::new(name, settings, self.external_url.clone(), self.metrics.clone()) {
            Ok(sender) => sender,
            Err(error) => return tracing::error!(webhook = name, %error, "nobody is told: there is no HTTP client"),
        };
        loop {
            let pause = match self.round(name, &sender).await {
                Ok(()) => INTERVAL,
                Err(error) => {
                    tracing::warn!(webhook = name, %error, "changes of alerts wait: the lake does not answer");
                    TROUBLE_PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Tells all that there is.
    async fn round(&self, name: &str, sender: &Sender) -> Result<(), WebhookError> {
        if !(self.is_publisher)() {
            return Ok(());
        }
        let told = self.lake.alerts().await?.transaction(&format!("{TOLD}{name}")).await?;
        let rows = self.rows_after(told.unwrap_or(0)).await?;
        let waiting = self.metrics.waiting.with_label_values(&[name]);
        let mut before = told;
        for (index, row) in rows.iter().enumerate() {
            waiting.set(i64::try_from(rows.len() - index).unwrap_or(i64::MAX));
            sender.send(row).await;
            match self.tell(name, before, row.sequence).await {
                // Another process tells now; it has told the same.
                Err(WebhookError::Commit(CommitError::Fenced { .. })) => return Ok(()),
                done => done?,
            }
            before = Some(row.sequence);
        }
        waiting.set(0);
        Ok(())
    }

    /// Puts on record up to which row a receiver was told.
    async fn tell(&self, name: &str, before: Option<i64>, sequence: i64) -> Result<(), WebhookError> {
        let id = format!("{TOLD}{name}");
        let commit = KpisCommit {
            commit_id: uuid::Uuid::new_v4().to_string(),
            batches: Vec::new(),
            transactions: BTreeMap::from([(id.clone(), sequence)]),
            expect: BTreeMap::from([(id, before)]),
        };
        self.lake.commit_alerts(commit).await?;
        Ok(())
    }

    async fn rows_after(&self, sequence: i64) -> Result<Vec<AlertRow>, WebhookError> {
        let mut stream = self.lake.alerts().await?.rows_after(sequence).await?;
        let mut rows = Vec::new();
        while let Some(batch) = stream.try_next().await.map_err(|error| WebhookError::Rows(error.to_string()))? {
            rows.extend(rows_of(&batch));
        }
        rows.sort_by_key(|row| row.sequence);
        Ok(rows)
    }
}
