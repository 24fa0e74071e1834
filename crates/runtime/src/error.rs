//! The error table: the HTTP status, gRPC code and log level of each kind of error.

use domain::{Error, Kind};
use tonic::Code;
use tracing::Level;

/// The representation of one kind of error.
#[derive(Debug, Clone, Copy)]
pub struct Mapping {
    /// The HTTP status.
    pub http: u16,
    /// The gRPC code.
    pub grpc: Code,
    /// The log level: low for a client's mistakes, high for our own faults.
    pub level: Level,
}

/// Returns the representation of a kind of error.
pub const fn mapping(kind: Kind) -> Mapping {
    let (http, grpc, level) = match kind {
        Kind::Validation | Kind::InvalidCursor | Kind::TemplateUnavailable => {
            (400, Code::InvalidArgument, Level::DEBUG)
        }
        Kind::Unauthorized => (401, Code::Unauthenticated, Level::INFO),
        Kind::Forbidden | Kind::PlatformSuspended => (403, Code::PermissionDenied, Level::INFO),
        Kind::NotFound => (404, Code::NotFound, Level::DEBUG),
        Kind::MethodNotAllowed => (405, Code::Unimplemented, Level::DEBUG),
        Kind::AlreadyExists => (409, Code::AlreadyExists, Level::DEBUG),
        Kind::Conflict => (409, Code::Aborted, Level::DEBUG),
        Kind::InvalidTransition | Kind::HasDependents => (409, Code::FailedPrecondition, Level::DEBUG),
        Kind::PreconditionFailed => (412, Code::FailedPrecondition, Level::DEBUG),
        Kind::RequestTimeout => (408, Code::DeadlineExceeded, Level::INFO),
        Kind::PayloadTooLarge => (413, Code::OutOfRange, Level::INFO),
        Kind::UriTooLong => (414, Code::OutOfRange, Level::INFO),
        Kind::HeadersTooLarge => (431, Code::OutOfRange, Level::INFO),
        Kind::UnsupportedMediaType => (415, Code::InvalidArgument, Level::DEBUG),
        Kind::ExpectationFailed => (417, Code::InvalidArgument, Level::DEBUG),
        Kind::IdempotencyMismatch | Kind::Unprocessable => (422, Code::FailedPrecondition, Level::DEBUG),
        Kind::QuotaExceeded | Kind::RateLimited => (429, Code::ResourceExhausted, Level::INFO),
        Kind::Internal => (500, Code::Internal, Level::ERROR),
        Kind::Upstream => (502, Code::Unavailable, Level::WARN),
        Kind::ServiceUnavailable => (503, Code::Unavailable, Level::WARN),
        Kind::GatewayTimeout => (504, Code::DeadlineExceeded, Level::WARN),
    };
    Mapping { http, grpc, level }
}

/// Logs an error, including the context that is not sent to the client.
pub fn log(error: &Error) {
    let (code, message, context) = (error.kind().as_str(), error.message(), error.log_context());
    match mapping(error.kind()).level {
        Level::ERROR => tracing::error!(code, error = message, context, "request failed"),
        Level::WARN => tracing::warn!(code, error = message, context, "request failed"),
        Level::INFO => tracing::info!(code, error = message, context, "request rejected"),
        _ => tracing::debug!(code, error = message, context, "request rejected"),
    }
}
