//! The one table of what an error becomes: HTTP status, gRPC code, log level. And the ways in and out of both.

use actix_web::{HttpResponse, http::StatusCode};
use domain::{Error, Kind};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tracing::Level;

/// What one kind of error becomes.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The status over HTTP.
    pub http: StatusCode,
    /// The code over gRPC.
    pub grpc: Code,
    /// How loudly it is logged: what the client did is quiet, what we did is not.
    pub level: Level,
}

/// The row of a kind.
pub const fn row(kind: Kind) -> Row {
    use StatusCode as S;
    let (http, grpc, level) = match kind {
        Kind::Validation | Kind::InvalidCursor | Kind::TemplateUnavailable => {
            (S::BAD_REQUEST, Code::InvalidArgument, Level::DEBUG)
        }
        Kind::Unauthorized => (S::UNAUTHORIZED, Code::Unauthenticated, Level::INFO),
        Kind::Forbidden | Kind::PlatformSuspended => (S::FORBIDDEN, Code::PermissionDenied, Level::INFO),
        Kind::NotFound => (S::NOT_FOUND, Code::NotFound, Level::DEBUG),
        Kind::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, Code::Unimplemented, Level::DEBUG),
        Kind::AlreadyExists => (S::CONFLICT, Code::AlreadyExists, Level::DEBUG),
        Kind::Conflict => (S::CONFLICT, Code::Aborted, Level::DEBUG),
        Kind::InvalidTransition | Kind::HasDependents => {
            (S::CONFLICT, Code::FailedPrecondition, Level::DEBUG)
        }
        Kind::PreconditionFailed => (S::PRECONDITION_FAILED, Code::FailedPrecondition, Level::DEBUG),
        Kind::RequestTimeout => (S::REQUEST_TIMEOUT, Code::DeadlineExceeded, Level::INFO),
        Kind::PayloadTooLarge => (S::PAYLOAD_TOO_LARGE, Code::OutOfRange, Level::INFO),
        Kind::UriTooLong => (S::URI_TOO_LONG, Code::OutOfRange, Level::INFO),
        Kind::HeadersTooLarge => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, Code::OutOfRange, Level::INFO),
        Kind::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, Level::DEBUG),
        Kind::ExpectationFailed => (S::EXPECTATION_FAILED, Code::InvalidArgument, Level::DEBUG),
        Kind::IdempotencyMismatch | Kind::Unprocessable => {
            (S::UNPROCESSABLE_ENTITY, Code::FailedPrecondition, Level::DEBUG)
        }
        Kind::QuotaExceeded | Kind::RateLimited => {
            (S::TOO_MANY_REQUESTS, Code::ResourceExhausted, Level::INFO)
        }
        Kind::Internal => (S::INTERNAL_SERVER_ERROR, Code::Internal, Level::ERROR),
        Kind::Upstream => (S::BAD_GATEWAY, Code::Unavailable, Level::WARN),
        Kind::ServiceUnavailable => (S::SERVICE_UNAVAILABLE, Code::Unavailable, Level::WARN),
        Kind::GatewayTimeout => (S::GATEWAY_TIMEOUT, Code::DeadlineExceeded, Level::WARN),
    };
    Row { http, grpc, level }
}

/// Writes the error to the log, with what the client is not told.
pub fn log(error: &Error) {
    let (code, told, context) = (error.kind().as_str(), error.message(), error.log_context());
    match row(error.kind()).level {
        Level::ERROR => tracing::error!(code, told, context, "request failed"),
        Level::WARN => tracing::warn!(code, told, context, "request failed"),
        Level::INFO => tracing::info!(code, told, context, "request refused"),
        _ => tracing::debug!(code, told, context, "request refused"),
    }
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
    let mut answer = HttpResponse::build(row(error.kind()).http);
    if let Some(seconds) = error.details().get("retryAfterSeconds").and_then(Value::as_u64) {
        answer.insert_header(("Retry-After", seconds.to_string()));
    }
    if let Some(allowed) = error.details().get("allowed").filter(|_| error.kind() == Kind::MethodNotAllowed) {
        let names: Vec<&str> = allowed.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        answer.insert_header(("Allow", names.join(", ")));
    }
    answer.json(envelope(error, request_id))
}

const DETAILS: &str = "details";
const DOMAIN: &str = "nno";

/// The gRPC status of an error; [`from_status`] gives the same error back on the other side.
pub fn to_status(error: &Error) -> Status {
    log(error);
    let details = Value::Object(error.details().clone()).to_string();
    let info = ErrorDetails::with_error_info(error.kind().as_str(), DOMAIN, [(DETAILS.to_owned(), details)]);
    Status::with_error_details(row(error.kind()).grpc, error.message(), info)
}

/// The error that a peer's status stands for.
pub fn from_status(peer: &'static str, status: &Status) -> Error {
    let told = status.get_error_details();
    let info = told.error_info().filter(|info| info.domain == DOMAIN);
    if let Some(info) = info
        && let Ok(kind) = Kind::parse(&info.reason)
    {
        let details: Map<String, Value> =
            info.metadata.get(DETAILS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        return Error::new(kind, status.message().to_owned())
            .with_details(details)
            .context(format!("told by {peer}"));
    }
    let context = format!("{peer}: {:?}: {}", status.code(), status.message());
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => {
            Error::new(Kind::GatewayTimeout, format!("{peer} did not answer in time")).context(context)
        }
        Code::Unavailable | Code::Unknown => Error::unavailable(peer, context),
        _ => Error::internal(context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_a_grpc_hop() {
        for kind in Kind::ALL {
            let error = Error::new(*kind, "why").with("from", "a");
            let back = from_status("registry", &to_status(&error));
            assert_eq!((back.kind(), back.message(), back.details()), (*kind, "why", error.details()));
        }
    }

    #[test]
    fn statuses_are_errors() {
        for kind in Kind::ALL {
            assert!(row(*kind).http.is_client_error() || row(*kind).http.is_server_error());
            assert_ne!(row(*kind).grpc, Code::Ok);
        }
    }

    #[test]
    fn a_strange_status_says_nothing_of_the_inside() {
        let error = from_status("registry", &Status::internal("secret path"));
        assert!(!error.message().contains("secret"));
        assert_eq!(from_status("registry", &Status::unavailable("x")).kind(), Kind::ServiceUnavailable);
    }
}
