//! `POST /sql`: JSON, CSV, an Arrow stream or Parquet, of any length.
//!
//! A body of type application/json or application/sql is required: a foreign
//! web page can't send either without the browser asking first, and this
//! server never agrees.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use crate::access::{Access, Caller, REFUSAL_PAUSE};
use crate::error::SqlError;
use crate::service::SqlService;
use body::{BodyError, Form};

mod body;
mod openapi;

pub use openapi::document as openapi_document;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    query: String,
}

impl Form {
    fn wanted(headers: &HeaderMap) -> Form {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if accept.contains("text/csv") {
            Form::Csv
        } else if accept.contains("parquet") {
            Form::Parquet
        } else if accept.contains("arrow") {
            Form::Arrow
        } else {
            Form::Json
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Csv => "text/csv; charset=utf-8",
            Form::Arrow => "application/vnd.apache.arrow.stream",
            Form::Parquet => "application/vnd.apache.parquet",
        }
    }
}

#[derive(Clone)]
struct Asked {
    service: Arc<SqlService>,
    access: Arc<Access>,
}

/// The route of SQL over HTTP.
pub fn http_router(service: Arc<SqlService>, access: Arc<Access>) -> Router {
    let limit = axum::extract::DefaultBodyLimit::max(service.limits.query_bytes_max * 2);
    let sql = Router::new().route("/sql", post(answer)).layer(limit).with_state(Asked { service, access });
    sql.route("/openapi.json", get(async || axum::Json(openapi::document())))
}

async fn answer(State(asked): State<Asked>, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(caller) = asked.access.caller(authorization) else { return refused(authorization).await };
    match run(&asked.service, caller, &headers, &body).await {
        Ok(response) => response,
        Err((status, code, message)) => {
            (status, axum::Json(json!({"error": {"code": code, "message": message}}))).into_response()
        }
    }
}

/// Who sends no password is told at once that one is wanted; who sends a wrong one waits.
async fn refused(authorization: Option<&str>) -> Response {
    if authorization.is_some() {
        tracing::warn!("an HTTP request with a wrong token or password, or an unknown name, was refused");
        tokio::time::sleep(REFUSAL_PAUSE).await;
    }
    let message = "send a token of `users` (Authorization: Bearer ...), or a name and password (curl --user NAME)";
    let body = axum::Json(json!({"error": {"code": "unauthorized", "message": message}}));
    let mut refused = (StatusCode::UNAUTHORIZED, body).into_response();
    for wanted in ["Bearer realm=\"satisflow\"", "Basic realm=\"satisflow\", charset=\"UTF-8\""] {
        refused.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(wanted));
    }
    refused
}

type Failure = (StatusCode, &'static str, String);

async fn run(service: &SqlService, caller: Caller, headers: &HeaderMap, body: &Bytes) -> Result<Response, Failure> {
    let query = query(headers, body)?;
    let form = Form::wanted(headers);
    let batches = service.query(&query, caller).await.map_err(failure)?;
    let body = body::body(batches, form, service.limits.rows_max).await.map_err(body_failure)?;
    Ok(([(header::CONTENT_TYPE, form.content_type())], body).into_response())
}

fn body_failure(error: BodyError) -> Failure {
    let message = error.to_string();
    match error {
        BodyError::Query(error) => failure(error),
        BodyError::TooManyRows(_) => (StatusCode::UNPROCESSABLE_ENTITY, "too_many_rows", message),
        BodyError::Encoding(_) | BodyError::Parquet(_) => (StatusCode::INTERNAL_SERVER_ERROR, "encoding", message),
    }
}

fn query(headers: &HeaderMap, body: &Bytes) -> Result<String, Failure> {
    let bad = |message: String| (StatusCode::BAD_REQUEST, "bad_request", message);
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        let request: Request = serde_json::from_slice(body).map_err(|e| bad(format!("{{\"query\": ...}}: {e}")))?;
        return Ok(request.query);
    }
    if kind.starts_with("application/sql") {
        return String::from_utf8(body.to_vec()).map_err(|e| bad(e.to_string()));
    }
    let message = "send application/json {\"query\": \"...\"} or application/sql".to_owned();
    Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message))
}

fn failure(error: SqlError) -> Failure {
    let message = error.to_string();
    match error {
        SqlError::Refused(_) => (StatusCode::FORBIDDEN, "refused", message),
        SqlError::TooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_long", message),
        SqlError::Timeout(_) => (StatusCode::REQUEST_TIMEOUT, "timeout", message),
        SqlError::Threads(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", message),
        SqlError::Query(_) if message.contains("statement timeout") => {
            (StatusCode::REQUEST_TIMEOUT, "timeout", message)
        }
        SqlError::Memory(_) => (StatusCode::UNPROCESSABLE_ENTITY, "out_of_memory", message),
        SqlError::Query(_) => (StatusCode::BAD_REQUEST, "query", message),
    }
}
