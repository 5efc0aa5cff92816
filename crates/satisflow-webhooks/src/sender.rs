//! One change to one receiver, until it has taken it or its time is over.

use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use satisflow_alerts::AlertRow;
use satisflow_config::WebhookSettings;

use crate::body::body;
use crate::signature::signature;
use crate::{Metrics, WebhookError};

/// Pause after the first attempt that fails; doubled after each.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Sender {
    name: String,
    settings: WebhookSettings,
    external_url: Option<String>,
    client: Client,
    metrics: Metrics,
}

/// Why an attempt failed; addresses may hold secrets and are left out.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("{}", without_address(.0))]
    Request(reqwest::Error),
}

fn without_address(error: &reqwest::Error) -> String {
    let what = match error {
        error if error.is_timeout() => "it does not answer in time",
        error if error.is_connect() => "it can't be reached",
        _ => "the request fails",
    };
    let mut text = what.to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

impl Sender {
    pub(crate) fn new(
        name: &str,
        settings: &WebhookSettings,
        external_url: Option<String>,
        metrics: Metrics,
    ) -> Result<Sender, WebhookError> {
        let client = Client::builder()
            // A signed body goes where the configuration says, nowhere else.
            .redirect(Policy::none())
            .timeout(settings.timeout)
            .user_agent(concat!("satisflow/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Sender { name: name.to_owned(), settings: settings.clone(), external_url, client, metrics })
    }

    /// Tries until the receiver has taken it, or it has been tried for its time.
    pub(crate) async fn send(&self, row: &AlertRow) {
        let text = body(row, self.external_url.as_deref()).to_string();
        let (started, mut pause) = (Instant::now(), PAUSE_MIN);
        loop {
            let Err(failure) = self.attempt(row, &text).await else {
                self.metrics.sent.with_label_values(&[&self.name]).inc();
                return;
            };
            self.metrics.failures.with_label_values(&[&self.name]).inc();
            if started.elapsed() + pause > self.settings.retry_timeout {
                self.metrics.dropped.with_label_values(&[&self.name]).inc();
                let (webhook, id) = (&self.name, row.id());
                return tracing::error!(webhook, id, %failure, "a change of an alert could not be told; see `alerts`");
            }
            tracing::warn!(webhook = self.name, %failure, ?pause, "a change of an alert is told again after a pause");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn attempt(&self, row: &AlertRow, text: &str) -> Result<(), Failure> {
        let seconds = jiff::Timestamp::now().as_second();
        let mut request = self.client.post(self.settings.url.as_str());
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        let request = request
            .header("content-type", "application/json")
            .header("idempotency-key", row.id())
            .header("satisflow-event", format!("alert.{}", row.transition.as_str()))
            .header("satisflow-signature", signature(&self.settings.secret, seconds, text.as_bytes()))
            .body(text.to_owned());
        let answer = request.send().await.map_err(Failure::Request)?;
        if answer.status().is_success() { Ok(()) } else { Err(Failure::Status(answer.status())) }
    }
}
