//! Errors over HTTP: the envelope and the response.

use actix_web::{HttpResponse, http::StatusCode};
use domain::{Error, Kind};
use runtime::error::mapping;
use serde_json::{Value, json};

/// Returns the HTTP status of a kind of error.
pub fn status(kind: Kind) -> StatusCode {
    StatusCode::from_u16(mapping(kind).http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Returns the envelope of an error.
pub fn envelope(error: &Error, request_id: &str) -> Value {
    json!({ "error": {
        "code": error.kind(),
        "message": error.message(),
        "requestId": request_id,
        "details": error.details(),
    }})
}

/// Returns the HTTP response of an error.
pub fn response(error: &Error, request_id: &str) -> HttpResponse {
    let mut response = HttpResponse::build(status(error.kind()));
    if let Some(seconds) = error.details().get("retryAfterSeconds").and_then(Value::as_u64) {
        response.insert_header(("Retry-After", seconds.to_string()));
    }
    if let Some(allowed) = error.details().get("allowed").filter(|_| error.kind() == Kind::MethodNotAllowed) {
        let names: Vec<&str> = allowed.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        response.insert_header(("Allow", names.join(", ")));
    }
    response.json(envelope(error, request_id))
}
