//! Errors over HTTP: the envelope and the answer.

use actix_web::{HttpResponse, http::StatusCode};
use domain::{Error, Kind};
use runtime::error::row;
use serde_json::{Value, json};

/// The status of an error.
pub fn status(kind: Kind) -> StatusCode {
    StatusCode::from_u16(row(kind).http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The envelope of an error.
pub fn envelope(error: &Error, request_id: &str) -> Value {
    json!({ "error": {
        "code": error.kind(),
        "message": error.message(),
        "requestId": request_id,
        "details": error.details(),
    }})
}

/// The HTTP answer of an error.
pub fn response(error: &Error, request_id: &str) -> HttpResponse {
    let mut answer = HttpResponse::build(status(error.kind()));
    if let Some(seconds) = error.details().get("retryAfterSeconds").and_then(Value::as_u64) {
        answer.insert_header(("Retry-After", seconds.to_string()));
    }
    if let Some(allowed) = error.details().get("allowed").filter(|_| error.kind() == Kind::MethodNotAllowed) {
        let names: Vec<&str> = allowed.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        answer.insert_header(("Allow", names.join(", ")));
    }
    answer.json(envelope(error, request_id))
}
