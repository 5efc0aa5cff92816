//! How failures are told, and the body of a request, which can be one.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// How long the body of a request may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Status, code and message.
pub(super) type Failure = (StatusCode, &'static str, String);

pub(super) fn failed((status, code, message): Failure) -> Response {
    (status, axum::Json(json!({"error": {"code": code, "message": message}}))).into_response()
}

/// The body of a request, which has to come soon.
pub(super) async fn received(request: Request) -> Result<Bytes, Failure> {
    match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(received) => received.map_err(|rejection| {
            let is_long = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            (rejection.status(), if is_long { "too_long" } else { "bad_request" }, rejection.body_text())
        }),
        Err(_) => {
            let message = format!("the body of the request did not come within {BODY_TIMEOUT:?}");
            Err((StatusCode::REQUEST_TIMEOUT, "timeout", message))
        }
    }
}
