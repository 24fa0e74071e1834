//! The error type of all services, independent of HTTP and gRPC.
//!
//! The message and the details go to the client unchanged. The context goes to the log only: no `Display` prints it, so
//! it cannot leak by accident. The table in `runtime::error` maps each error to its HTTP and gRPC status.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::masked;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

text_enum! {
    /// Kind of an error: the machine-readable code of the error envelope.
    pub enum Kind {
        Validation = "VALIDATION_ERROR",
        InvalidCursor = "INVALID_CURSOR",
        TemplateUnavailable = "TEMPLATE_UNAVAILABLE",
        Unauthorized = "UNAUTHORIZED",
        Forbidden = "FORBIDDEN",
        PlatformSuspended = "PLATFORM_SUSPENDED",
        NotFound = "NOT_FOUND",
        MethodNotAllowed = "METHOD_NOT_ALLOWED",
        Conflict = "CONFLICT",
        AlreadyExists = "ALREADY_EXISTS",
        InvalidTransition = "INVALID_TRANSITION",
        HasDependents = "HAS_DEPENDENTS",
        PreconditionFailed = "PRECONDITION_FAILED",
        RequestTimeout = "REQUEST_TIMEOUT",
        PayloadTooLarge = "PAYLOAD_TOO_LARGE",
        UriTooLong = "URI_TOO_LONG",
        UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE",
        ExpectationFailed = "EXPECTATION_FAILED",
        IdempotencyMismatch = "IDEMPOTENCY_MISMATCH",
        Unprocessable = "UNPROCESSABLE",
        QuotaExceeded = "QUOTA_EXCEEDED",
        RateLimited = "RATE_LIMITED",
        HeadersTooLarge = "HEADERS_TOO_LARGE",
        Internal = "INTERNAL_ERROR",
        Upstream = "UPSTREAM_ERROR",
        ServiceUnavailable = "SERVICE_UNAVAILABLE",
        GatewayTimeout = "GATEWAY_TIMEOUT",
    }
}

impl Kind {
    /// Returns true if the same request may succeed later.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Conflict
                | Self::RateLimited
                | Self::Internal
                | Self::Upstream
                | Self::ServiceUnavailable
                | Self::GatewayTimeout
        )
    }
}

/// Maximum number of faults that an error lists. A request can have many more, and its response must not be larger than
/// the request.
pub const MAX_FAULTS: usize = 100;
/// Maximum length of the path of a fault, in bytes.
const MAX_PATH: usize = 256;
/// Maximum length of the message of a fault, in bytes.
const MAX_FAULT: usize = 512;
/// Maximum length of the message of an error, in bytes.
const MAX_MESSAGE: usize = 1024;

/// Truncates a text that may repeat input of a client.
fn shortened(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.push('…');
    }
    text
}

/// Makes a sentence of a text: a capital letter at the start and a full stop at the end.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let start: String = rest.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if text.is_empty() || text.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{start}{}{end}", rest.as_str())
}

/// Invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Dotted path into the body, or the name of the query or path parameter.
    pub path: String,
    /// Predicate that follows the name of the field: "is required", "must be at most 63 characters".
    pub message: String,
}

impl Fault {
    /// A fault at `path`. Text that looks like a secret is [masked](crate::masked), in the path as well.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message): (String, String) = (path.into(), message.into());
        let path = if masked::may_be_secret(&path) { masked::MASK.to_owned() } else { path };
        Self { path: shortened(path, MAX_PATH), message: shortened(masked::masked_text(message), MAX_FAULT) }
    }
}

/// Error of an operation. One pointer wide, because every result carries it.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: Kind,
    message: Cow<'static, str>,
    details: Map<String, Value>,
    context: Vec<String>,
    retryable: bool,
}

impl Error {
    /// An error with a message for the client. Text that looks like a secret is masked.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        let message = match masked::masked(message.into()) {
            Cow::Owned(message) => Cow::Owned(shortened(message, MAX_MESSAGE)),
            borrowed @ Cow::Borrowed(_) => borrowed,
        };
        Self(Box::new(Inner { kind, message, details: Map::new(), context: Vec::new(), retryable: false }))
    }

    /// An invalid request. The details list the first [`MAX_FAULTS`] faults and the number of the others.
    pub fn validation(mut faults: Vec<Fault>) -> Self {
        let message = match faults.as_slice() {
            [one] if one.path.is_empty() => sentence(&one.message),
            [one] => sentence(&format!("Field '{}' {}", one.path, one.message)),
            many => format!("{} fields are invalid. See details.fields.", many.len()),
        };
        let more = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
        let error = Self::new(Kind::Validation, message).with("fields", &faults);
        if more > 0 { error.with("moreFields", more) } else { error }
    }

    /// An invalid request with one fault. `message` is a predicate, as in [`Fault::message`].
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::validation(vec![Fault::new(path, message)])
    }

    /// An object that does not exist or lies outside the caller's scope. The client cannot distinguish the two.
    pub fn not_found(kind: &str, id: impl std::fmt::Display) -> Self {
        Self::new(Kind::NotFound, sentence(&format!("{kind} '{id}' was not found")))
    }

    /// A fault of the service itself. The client learns nothing about it; `context` goes to the log.
    pub fn internal(context: impl std::fmt::Display) -> Self {
        Self::new(Kind::Internal, "An internal error occurred.").context(context)
    }

    /// A dependency that cannot be reached. `context` goes to the log.
    pub fn unavailable(what: &str, context: impl std::fmt::Display) -> Self {
        let message = sentence(&format!("{what} is not available. Try again shortly"));
        Self::new(Kind::ServiceUnavailable, message).context(context)
    }

    /// A service of ours that is not available. `context` goes to the log.
    pub fn service_unavailable(service: &str, context: impl std::fmt::Display) -> Self {
        Self::unavailable(&format!("the service '{service}'"), context)
    }

    /// Returns true if the disk of the database is full.
    pub fn is_disk_full(&self) -> bool {
        self.0.details.get(REASON).is_some_and(|reason| reason == DISK_FULL)
    }

    /// A conflict with a concurrent transaction. The whole transaction can be retried; the client gets this error only
    /// after too many retries.
    pub fn concurrent_write(context: impl std::fmt::Display) -> Self {
        let message = "The object was changed by another request at the same time. Try again.";
        let mut error = Self::new(Kind::Conflict, message);
        error.0.retryable = true;
        error.context(context)
    }

    /// Returns true if the whole transaction that failed with this error can be retried.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Adds a detail for the client.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.0.details.insert(key.to_owned(), value);
        self
    }

    /// Replaces the details for the client.
    #[must_use]
    pub fn with_details(mut self, details: Map<String, Value>) -> Self {
        self.0.details = details;
        self
    }

    /// Adds context for the log. Text that looks like a secret is masked. The client never sees the context.
    #[must_use]
    pub fn context(mut self, context: impl std::fmt::Display) -> Self {
        self.0.context.push(masked::masked_text(context.to_string()));
        self
    }

    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message for the client.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The machine-readable details for the client.
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    /// The context for the log, innermost first.
    pub fn log_context(&self) -> String {
        self.0.context.join("; ")
    }
}

/// Name of the detail that states the known reason of an outage.
const REASON: &str = "reason";
const DISK_FULL: &str = "disk_full";

#[cfg(feature = "diesel")]
impl From<diesel::result::Error> for Error {
    /// The error of a failed statement. `database::OnConstraint` maps expected constraint violations before.
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind as D, Error as E};
        let E::DatabaseError(kind, info) = &error else { return Self::internal(&error) };
        let message = info.message();
        match kind {
            D::SerializationFailure => Self::concurrent_write(&error),
            D::ClosedConnection => Self::unavailable("The database", &error),
            // diesel-async reports every failure without a response of the server as this kind. The texts come from
            // tokio-postgres.
            D::UnableToSendCommand
                if ["connection closed", "error communicating with the server"]
                    .iter()
                    .any(|lost| message.starts_with(lost)) =>
            {
                Self::unavailable("The database", &error)
            }
            // A random key that exists already: the retry generates a different one.
            D::UniqueViolation if info.constraint_name().is_some_and(|name| name.ends_with("_pkey")) => {
                Self::concurrent_write(&error)
            }
            // Diesel does not expose the SQLSTATE of these, and the servers' messages are in English (lc_messages C).
            _ if message.contains("deadlock detected") => Self::concurrent_write(&error),
            _ if message.contains("lock timeout") => {
                Self::new(Kind::Conflict, "The object is being changed by another request. Try again.")
                    .context(&error)
            }
            _ if ["No space left on device", "Disk quota exceeded"]
                .iter()
                .any(|full| message.contains(full)) =>
            {
                Self::new(Kind::ServiceUnavailable, "The database has no disk space left. Try again later.")
                    .with(REASON, DISK_FULL)
                    .context(&error)
            }
            // PostgreSQL names the timeout, or reports that the statement was cancelled.
            _ if message.contains("canceling statement due to")
                || message.contains("terminating connection")
                || message.contains("shutting down")
                || message.contains("starting up") =>
            {
                Self::unavailable("The database", &error)
            }
            _ => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_error_lists_every_fault() {
        let error =
            Error::validation(vec![Fault::new("name", "is required"), Fault::new("tier", "is unknown")]);
        assert_eq!(error.message(), "2 fields are invalid. See details.fields.");
        assert_eq!(error.details()["fields"][1]["path"], "tier");
    }

    #[test]
    fn messages_are_sentences() {
        for (error, message) in [
            (Error::invalid("name", "is required"), "Field 'name' is required."),
            (Error::invalid("", "The body is too short."), "The body is too short."),
            (Error::invalid("", "must be an object"), "Must be an object."),
            (Error::not_found("platform", 1), "Platform '1' was not found."),
            (Error::unavailable("the database", ""), "The database is not available. Try again shortly."),
            (Error::service_unavailable("iam", ""), "The service 'iam' is not available. Try again shortly."),
        ] {
            assert_eq!(error.message(), message);
        }
    }

    #[test]
    fn long_faults_and_messages_are_truncated() {
        let fault = |n: usize| Fault::new(format!("{n}{}", "ä".repeat(1000)), "x ".repeat(1000));
        let error = Error::validation((0..1000).map(fault).collect());
        assert_eq!(error.message(), "1000 fields are invalid. See details.fields.");
        assert_eq!(error.details()["fields"].as_array().unwrap().len(), MAX_FAULTS);
        assert_eq!(error.details()["moreFields"], 900);
        assert!(serde_json::to_string(error.details()).unwrap().len() < 100_000);
        let long = Error::new(Kind::NotFound, "x ".repeat(1000));
        assert!(long.message().len() < 1100 && long.message().ends_with('…'));
    }

    #[test]
    fn message_does_not_contain_context() {
        let error = Error::internal("password of the database");
        assert!(!error.message().contains("password"));
        assert!(error.log_context().contains("password"));
    }

    #[test]
    fn every_code_parses_to_its_kind() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()).unwrap(), *kind);
        }
    }
}
