//! Where a lake is kept: a local folder, or a bucket of a server that speaks S3.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deltalake_core::logstore::{
    LogStore, LogStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::client::ClientConfigKey;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::{Host, Url};

use crate::error::LakeError;

/// Names that [`StoreOptions::values`] may have.
pub const STORE_OPTIONS: &[&str] = &[
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_region",
    "aws_endpoint_url",
    "aws_allow_http",
    "aws_virtual_hosted_style_request",
];

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause between two tries of a request.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Tries of a request; `retry_timeout` ends them earlier.
const RETRIES_MAX: usize = 100;

/// How an object store is reached; a local folder needs none of it.
#[derive(Clone)]
pub struct StoreOptions {
    /// Values of [`STORE_OPTIONS`]; each goes before the environment variable of its name in capitals.
    pub values: BTreeMap<String, String>,
    /// Longest wait for the answer to one request.
    pub request_timeout: Duration,
    /// How long a request that fails or is throttled is tried again, with growing pauses.
    pub retry_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            values: BTreeMap::new(),
            request_timeout: Duration::from_secs(30),
            retry_timeout: Duration::from_secs(60),
        }
    }
}

/// Values may be secrets: their names are shown, they never.
impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("values", &self.values.keys().collect::<Vec<_>>())
            .field("request_timeout", &self.request_timeout)
            .field("retry_timeout", &self.retry_timeout)
            .finish()
    }
}

/// The store that a lake's place names; `None` for a local one. Nothing is asked of it yet.
///
/// # Errors
/// When the place is of no known kind, or its options don't go together.
pub fn store_of(url: &str, options: &StoreOptions) -> Result<Option<Arc<dyn ObjectStore>>, LakeError> {
    let place = |message: String| LakeError::Place { url: url.to_owned(), message };
    match Url::parse(url) {
        Ok(parsed) if parsed.scheme() == "s3" => s3(&parsed, options).map(Some).map_err(place),
        Ok(parsed) if parsed.scheme() != "file" => {
            Err(place(format!("`{}` is not supported: name a local folder or s3://bucket/prefix", parsed.scheme())))
        }
        _ => Ok(None),
    }
}

fn s3(url: &Url, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>, String> {
    if url.host_str().is_none_or(str::is_empty) {
        return Err("no bucket is named: write s3://bucket/prefix".to_owned());
    }
    let mut builder = AmazonS3Builder::from_env().with_url(url.as_str());
    for (name, value) in &options.values {
        let known = STORE_OPTIONS.contains(&name.as_str()).then(|| name.parse::<AmazonS3ConfigKey>().ok()).flatten();
        let key = known.ok_or_else(|| format!("`{name}` is no option: there are {}", STORE_OPTIONS.join(", ")))?;
        builder = builder.with_config(key, value);
    }
    let allow_http = allows_http(&builder)?;
    // What guards a commit is a put that fails where something is already.
    let builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch);
    let client = ClientOptions::new()
        .with_allow_http(allow_http)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(options.request_timeout);
    let backoff = BackoffConfig { max_backoff: BACKOFF_MAX, ..BackoffConfig::default() };
    let retry = RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: options.retry_timeout };
    let store = builder.with_client_options(client).with_retry(retry).build().map_err(|error| error.to_string())?;
    logstore_factories().insert(url_of_scheme(), Arc::new(PutIfAbsent));
    Ok(Arc::new(store))
}

/// Rows and signatures go unencrypted to this machine only.
fn allows_http(builder: &AmazonS3Builder) -> Result<bool, String> {
    let of = |key: AmazonS3ConfigKey| builder.get_config_value(&key);
    let wanted = of(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp))
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let Some(endpoint) = of(AmazonS3ConfigKey::Endpoint) else { return Ok(false) };
    let parsed = Url::parse(&endpoint).map_err(|error| format!("`{endpoint}` is no URL of an S3 server: {error}"))?;
    match (parsed.scheme(), wanted) {
        ("https", _) => Ok(false),
        ("http", _) if !is_loopback(&parsed) => Err(format!(
            "{endpoint} is not encrypted: use https (http is for a server on this machine, with `aws_allow_http: true`)"
        )),
        ("http", true) => Ok(true),
        ("http", false) => {
            Err(format!("{endpoint} is not encrypted: use https, or for a test allow it with `aws_allow_http: true`"))
        }
        _ => Err(format!("`{endpoint}` is no URL of an S3 server: write https://host")),
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

fn url_of_scheme() -> Url {
    Url::parse("s3://").unwrap_or_else(|error| unreachable!("a scheme alone is a URL: {error}"))
}

/// The Delta library's own log, on a store whose conditional put is atomic.
#[derive(Debug)]
struct PutIfAbsent;

impl LogStoreFactory for PutIfAbsent {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> deltalake_core::DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}
