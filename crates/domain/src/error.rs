//! The one error of all services: transport-free, with an outside message and an inside context.
//!
//! The outside message and details go to the client as they stand. The context is for the log alone: there is no
//! `Display` that prints it, so it cannot leak by accident. What an error becomes in HTTP and gRPC stands in one
//! table, `runtime::error`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::masked;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

text_enum! {
    /// What went wrong, as the machine-readable code of the error envelope.
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
    /// Whether the same call may succeed later without anything being changed by the caller.
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

/// Maximum number of faults that an error lists. A request can have many more, and its answer must not be larger than
/// the request.
pub const MAX_FAULTS: usize = 100;
/// Maximum length of a path and of a message of a fault, in bytes.
const MAX_PATH: usize = 256;
const MAX_FAULT: usize = 512;
/// Maximum length of the message of an error, in bytes.
const MAX_MESSAGE: usize = 1024;

/// Cuts a text that may repeat what a client sent.
fn shortened(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.push('…');
    }
    text
}

/// One fault of a request: where it is and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Dotted path into the body, or the name of the query or path parameter.
    pub path: String,
    /// What is wrong there, for a person.
    pub message: String,
}

impl Fault {
    /// A fault at `path`. What looks like a secret is [masked](crate::masked), as a field's name may be one.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message): (String, String) = (path.into(), message.into());
        let path = if masked::may_be_secret(&path) { masked::MASK.to_owned() } else { path };
        Self { path: shortened(path, MAX_PATH), message: shortened(masked::masked_text(message), MAX_FAULT) }
    }
}

/// An error on its way to a client. One word wide, because results carry it everywhere.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: Kind,
    message: Cow<'static, str>,
    details: Map<String, Value>,
    context: Vec<String>,
    rerun: bool,
}

impl Error {
    /// An error that says `message` to the client, without what looks like a secret in it.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        let message = match masked::masked(message.into()) {
            Cow::Owned(message) => Cow::Owned(shortened(message, MAX_MESSAGE)),
            borrowed @ Cow::Borrowed(_) => borrowed,
        };
        Self(Box::new(Inner { kind, message, details: Map::new(), context: Vec::new(), rerun: false }))
    }

    /// A request whose faults are named at once: the first [`MAX_FAULTS`], and the number of the others.
    pub fn validation(mut faults: Vec<Fault>) -> Self {
        let message = match faults.as_slice() {
            [one] if one.path.is_empty() => one.message.clone(),
            [one] => format!("{}: {}", one.path, one.message),
            many => format!("{} fields are not valid", many.len()),
        };
        let more = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
        let error = Self::new(Kind::Validation, message).with("fields", &faults);
        if more > 0 { error.with("moreFields", more) } else { error }
    }

    /// A request with one fault.
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::validation(vec![Fault::new(path, message)])
    }

    /// A thing that does not exist, or lies outside the caller's scope: the two are not told apart.
    pub fn not_found(thing: &str, id: impl std::fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("{thing} '{id}' was not found"))
    }

    /// A fault of ours. The client learns nothing; `context` goes to the log.
    pub fn internal(context: impl std::fmt::Display) -> Self {
        Self::new(Kind::Internal, "An internal error occurred").context(context)
    }

    /// Something we depend on cannot be reached. `context` goes to the log.
    pub fn unavailable(what: &str, context: impl std::fmt::Display) -> Self {
        Self::new(Kind::ServiceUnavailable, format!("{what} is not available right now, try again shortly"))
            .context(context)
    }

    /// Whether the disk of the database is full.
    pub fn is_disk_full(&self) -> bool {
        self.0.details.get(REASON).is_some_and(|reason| reason == DISK_FULL)
    }

    /// Two writers met: the transaction may be run again as a whole. Told to the client only when that was tried
    /// too often.
    pub fn met(context: impl std::fmt::Display) -> Self {
        let mut error = Self::new(Kind::Conflict, "The thing was being changed at the same time, try again");
        error.0.rerun = true;
        error.context(context)
    }

    /// Whether the transaction that met this error may be run again as a whole.
    pub fn may_rerun(&self) -> bool {
        self.0.rerun
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

    /// Adds what the log should know, without what looks like a secret in it; the client never sees it.
    #[must_use]
    pub fn context(mut self, context: impl std::fmt::Display) -> Self {
        self.0.context.push(masked::masked_text(context.to_string()));
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What the client is told.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the client is told in machine-readable form.
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    /// What the log is told, outermost last.
    pub fn log_context(&self) -> String {
        self.0.context.join("; ")
    }
}

/// The detail of an outage that has a known reason.
const REASON: &str = "reason";
const DISK_FULL: &str = "disk_full";

#[cfg(feature = "diesel")]
impl From<diesel::result::Error> for Error {
    /// What a failed statement means when no one expected it. Expected constraint violations are told by
    /// `database::OnConstraint` before they come here.
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind as D, Error as E};
        let E::DatabaseError(kind, info) = &error else { return Self::internal(&error) };
        let message = info.message();
        match kind {
            D::SerializationFailure => Self::met(&error),
            D::ClosedConnection => Self::unavailable("The database", &error),
            // So diesel-async calls whatever failed without an answer of the server; the texts are tokio-postgres's.
            D::UnableToSendCommand
                if ["connection closed", "error communicating with the server"]
                    .iter()
                    .any(|lost| message.starts_with(lost)) =>
            {
                Self::unavailable("The database", &error)
            }
            // A random key that is already there: the next run draws another.
            D::UniqueViolation if info.constraint_name().is_some_and(|name| name.ends_with("_pkey")) => {
                Self::met(&error)
            }
            // Diesel does not give the SQLSTATE of these, and the servers' messages are in English (lc_messages C).
            _ if message.contains("deadlock detected") => Self::met(&error),
            _ if message.contains("lock timeout") => {
                Self::new(Kind::Conflict, "The thing is being changed by another request, try again")
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
            // Postgres says which timeout, or that somebody has cancelled the statement.
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
    fn every_fault_is_named() {
        let error =
            Error::validation(vec![Fault::new("name", "is required"), Fault::new("tier", "is unknown")]);
        assert_eq!(error.message(), "2 fields are not valid");
        assert_eq!(error.details()["fields"][1]["path"], "tier");
    }

    #[test]
    fn faults_and_texts_are_cut() {
        let fault = |n: usize| Fault::new(format!("{n}{}", "ä".repeat(1000)), "x ".repeat(1000));
        let error = Error::validation((0..1000).map(fault).collect());
        assert_eq!(error.message(), "1000 fields are not valid");
        assert_eq!(error.details()["fields"].as_array().unwrap().len(), MAX_FAULTS);
        assert_eq!(error.details()["moreFields"], 900);
        assert!(serde_json::to_string(error.details()).unwrap().len() < 100_000);
        let long = Error::new(Kind::NotFound, "x ".repeat(1000));
        assert!(long.message().len() < 1100 && long.message().ends_with('…'));
    }

    #[test]
    fn inside_context_is_not_in_the_message() {
        let error = Error::internal("password of the database");
        assert!(!error.message().contains("password"));
        assert!(error.log_context().contains("password"));
    }

    #[test]
    fn codes_read_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()).unwrap(), *kind);
        }
    }
}
