//! `POST /sql`: JSON, CSV, an Arrow stream or Parquet, of any length.
//!
//! A body of type application/json or application/sql is required: a foreign
//! web page can't send either without the browser asking first, and this
//! server never agrees.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;

use crate::access::{Caller, Identity};
use crate::error::SqlError;
use crate::service::SqlService;
use body::{BodyError, Form};
use failure::{Failure, failed, received};

mod body;
mod door;
mod failure;
mod openapi;

pub use door::{HttpDoor, HttpLogins};
pub use openapi::document as openapi_document;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
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

/// Where SQL is asked over HTTP, by whom the door knows; and its description, for everyone.
pub fn http_router(service: Arc<SqlService>, door: &Arc<HttpDoor>) -> Router {
    let limit = DefaultBodyLimit::max(service.limits.query_bytes_max * 2);
    let sql = door.guard(Router::new().route("/sql", post(answer)).layer(limit).with_state(service));
    sql.route("/openapi.json", get(async || axum::Json(openapi::document())))
}

async fn answer(
    State(service): State<Arc<SqlService>>,
    Extension(identity): Extension<Identity>,
    request: axum::extract::Request,
) -> Response {
    let headers = request.headers().clone();
    match received(request).await {
        Ok(body) => run(&service, identity.caller, &headers, &body).await.unwrap_or_else(failed),
        Err(failure) => failed(failure),
    }
}

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
        let asked: Asked = serde_json::from_slice(body).map_err(|e| bad(format!("{{\"query\": ...}}: {e}")))?;
        return Ok(asked.query);
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
