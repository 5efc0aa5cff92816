//! Metrics, health and the page over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use changes::{CHANGES_CONNECTIONS_MAX, Changes};
pub use serve::{Reach, serve};

mod changes;
mod line;
mod names;
mod page;
mod serve;

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

/// Everything over HTTP but SQL, by who may see it.
pub struct Routes {
    /// Everyone: /healthz, /readyz, and the page's files, which hold no data.
    pub open: Router,
    /// What the page asks for beside SQL: definitions and counts.
    pub counts: Router,
    /// Prometheus: /metrics.
    pub metrics: Router,
}

/// The routes. The streams of the page end at `stop`.
pub fn routes(state: WebState, stop: CancellationToken) -> Routes {
    let telling = changes::Telling::new(state.changes.clone(), stop);
    let open = Router::new()
        .route("/", get(page::index))
        .route("/page/{*path}", get(page::file))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready));
    let counts = Router::new()
        .route("/api/catalog", get(catalog))
        .route("/api/pipeline", get(pipeline))
        .route("/api/changes", get(move || async { telling.answer() }));
    Routes {
        open: open.with_state(state.clone()),
        counts: counts.with_state(state.clone()),
        metrics: Router::new().route("/metrics", get(metrics)).with_state(state),
    }
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
