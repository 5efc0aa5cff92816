//! Who is told of changes of alerts.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use satisflow_document::escape;
use url::{Host, Url};

use crate::raw::{RawHttp, RawWebhook};
use crate::resolver::Resolver;

/// Shortest key that bodies are signed with.
const SECRET_BYTES_MIN: usize = 16;
const TIMEOUT_MS_DEFAULT: u32 = 10_000;
const RETRY_TIMEOUT_MS_DEFAULT: u32 = 86_400_000;
/// Headers that are the sender's own.
const OWN_HEADERS: [&str; 4] = ["content-type", "content-length", "host", "idempotency-key"];

/// A receiver of changes of alerts.
#[derive(Clone)]
pub struct WebhookSettings {
    /// Where they are posted to.
    pub url: Url,
    /// Key that bodies are signed with.
    pub secret: Vec<u8>,
    /// More headers.
    pub headers: BTreeMap<String, String>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// How long one change is tried.
    pub retry_timeout: Duration,
}

/// The secret and headers are never shown; nor is a URL's query, which may be one.
impl fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&String> = self.headers.keys().collect();
        f.debug_struct("WebhookSettings")
            .field("host", &self.url.host_str())
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

impl Resolver<'_> {
    pub(crate) fn webhooks(&mut self, raw: &BTreeMap<String, RawWebhook>) -> BTreeMap<String, WebhookSettings> {
        let mut webhooks = BTreeMap::new();
        for (name, webhook) in raw {
            if let Some(settings) = self.webhook(&format!("/webhooks/{}", escape(name)), webhook) {
                webhooks.insert(name.clone(), settings);
            }
        }
        webhooks
    }

    fn webhook(&mut self, at: &str, raw: &RawWebhook) -> Option<WebhookSettings> {
        let url = self.webhook_url(&format!("{at}/url"), raw);
        let before_secret = self.problem_count();
        let secret = self.property(&format!("{at}/secret"), &raw.secret).into_bytes();
        if secret.len() < SECRET_BYTES_MIN && self.problem_count() == before_secret {
            let message = format!("the secret has {} bytes", secret.len());
            let hint = "at least 16, such as `openssl rand -hex 32` prints";
            self.problem(&format!("{at}/secret"), message, hint);
        }
        let mut headers = BTreeMap::new();
        for (name, value) in &raw.headers {
            let here = format!("{at}/headers/{}", escape(name));
            let is_token = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if name.is_empty() || !is_token || OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                let message = format!("`{name}` is no header that can be added");
                self.problem(&here, message, "letters, digits and `-`; content type and idempotency key are set");
            }
            headers.insert(name.clone(), self.property(&here, value));
        }
        for (name, value) in [("timeout_ms", raw.timeout_ms), ("retry_timeout_ms", raw.retry_timeout_ms)] {
            if value == Some(0) {
                self.problem(&format!("{at}/{name}"), format!("`{name}` is 0"), "at least 1");
            }
        }
        let millis = |value: Option<u32>, default: u32| Duration::from_millis(u64::from(value.unwrap_or(default)));
        let timeout = millis(raw.timeout_ms, TIMEOUT_MS_DEFAULT);
        let retry_timeout = millis(raw.retry_timeout_ms, RETRY_TIMEOUT_MS_DEFAULT);
        Some(WebhookSettings { url: url?, secret, headers, timeout, retry_timeout })
    }

    fn webhook_url(&mut self, at: &str, raw: &RawWebhook) -> Option<Url> {
        let parsed = Url::parse(&raw.url).ok().filter(|url| url.has_host());
        let Some(url) = parsed else {
            self.problem(at, "this is no URL".to_owned(), "such as https://example.com/alerts");
            return None;
        };
        let may_be_plain = raw.allow_http || is_loopback(&url);
        match url.scheme() {
            "https" => Some(url),
            "http" if may_be_plain => Some(url),
            "http" => {
                let message = "alerts would leave this machine unencrypted".to_owned();
                self.problem(at, message, "use https; in a network of your own allow it with `allow_http: true`");
                None
            }
            other => {
                self.problem(at, format!("`{other}` is not a way to post"), "use https");
                None
            }
        }
    }

    /// Where people reach the page.
    pub(crate) fn external_url(&mut self, raw: &RawHttp) -> Option<String> {
        let text = raw.external_url.as_deref()?;
        let is_web = Url::parse(text).is_ok_and(|url| url.has_host() && ["http", "https"].contains(&url.scheme()));
        if !is_web {
            let message = format!("`{text}` is no address of a page");
            self.problem("/http/external_url", message, "such as https://satisflow.example");
        }
        is_web.then(|| text.trim_end_matches('/').to_owned())
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
