//! Metrics, health and the page over HTTP.

use std::sync::Arc;

use anyhow::{Result, bail};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use changes::{CHANGES_CONNECTIONS_MAX, Changes};

mod changes;
mod page;

/// Whether the service answers with complete KPIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness(Option<String>);

impl Readiness {
    /// It does.
    pub fn ready() -> Readiness {
        Readiness(None)
    }

    /// It does not, and why.
    pub fn waiting(reason: &str) -> Readiness {
        Readiness(Some(reason.to_owned()))
    }
}

/// What the endpoints show.
#[derive(Clone)]
pub struct WebState {
    /// All metrics.
    pub registry: Registry,
    /// Run before each scrape.
    pub before_scrape: Arc<dyn Fn() + Send + Sync>,
    /// Asked by /readyz.
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// What there is to ask for: KPIs, windows, dimensions.
    pub catalog: Arc<Value>,
    /// What became of the records, by partition.
    pub pipeline: Arc<dyn Fn() -> Value + Send + Sync>,
    /// When there is something new.
    pub changes: Changes,
}

/// /metrics, /healthz, /readyz, and the page with what it asks for beside SQL.
/// The streams of the page end at `stop`.
pub fn router(state: WebState, stop: CancellationToken) -> Router {
    let telling = changes::Telling::new(state.changes.clone(), stop);
    Router::new()
        .route("/", get(page::index))
        .route("/page/{*path}", get(page::file))
        .route("/api/catalog", get(catalog))
        .route("/api/pipeline", get(pipeline))
        .route("/api/changes", get(move || async { telling.answer() }))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(state)
}

/// Serves until `stop`, and lets open requests end.
///
/// # Errors
/// When the listener fails, or listens to a network: there is no authentication yet.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        bail!("{address} is not a loopback address: HTTP is served without passwords and only to this machine");
    }
    let router = router.layer(axum::middleware::from_fn(only_this_machine));
    Ok(axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await?)
}

/// A web page elsewhere can make a browser send requests here, even under a
/// name of its own that points to this machine: neither is answered.
async fn only_this_machine(request: Request, next: Next) -> Response {
    if is_own(request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "only requests to localhost are answered\n").into_response()
    }
}

fn is_own(headers: &HeaderMap) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = header(header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    header(header::HOST).is_none_or(is_loopback) && origin.is_none_or(is_loopback)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

async fn catalog(State(state): State<WebState>) -> Response {
    axum::Json(&*state.catalog).into_response()
}

async fn pipeline(State(state): State<WebState>) -> Response {
    let mut told = (state.pipeline)();
    if let Some(told) = told.as_object_mut() {
        let reason = (state.readiness)().0;
        told.insert("ready".to_owned(), reason.is_none().into());
        told.insert("reason".to_owned(), reason.into());
    }
    axum::Json(told).into_response()
}

async fn metrics(State(state): State<WebState>) -> Response {
    (state.before_scrape)();
    let encoder = TextEncoder::new();
    let mut body = Vec::new();
    match encoder.encode(&state.registry.gather(), &mut body) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(state): State<WebState>) -> Response {
    match (state.readiness)().0 {
        None => axum::Json(json!({"ready": true})).into_response(),
        Some(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({"ready": false, "reason": reason}))).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_this_machine() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:80", "[::1]:8080", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1:80", "null"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
