//! The one table of what an error becomes: HTTP status, gRPC code, log level. And the ways in and out of both.

use domain::{Error, Kind};
use tonic::Code;
use tracing::Level;

/// What one kind of error becomes.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The status over HTTP.
    pub http: u16,
    /// The code over gRPC.
    pub grpc: Code,
    /// How loudly it is logged: what the client did is quiet, what we did is not.
    pub level: Level,
}

/// The row of a kind.
pub const fn row(kind: Kind) -> Row {
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
