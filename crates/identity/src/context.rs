//! Request contexts: the caller, the request id and the trace; for a write, also its execution options.

use std::{ops::Deref, sync::Arc};

use domain::{Error, Kind, PlatformId, Result};
use runtime::telemetry;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Caller, PlatformScope};

/// The context of a read.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// The caller.
    pub caller: Caller,
    /// The id of the request: the client's, or else generated on entry.
    pub request_id: Arc<str>,
    /// W3C trace context of the current span, if it is traced.
    pub traceparent: Option<Arc<str>>,
}

/// The context of a write.
#[derive(Debug, Clone)]
pub struct WriteCtx {
    /// The part that a read has too.
    pub ctx: Ctx,
    /// True if the write runs with all its checks and is then rolled back.
    pub dry_run: bool,
    /// The idempotency key. A write with a key takes effect once, even if the client repeats it.
    pub idempotency: Option<Idempotency>,
    /// The `If-Match` header: the ETag of the state that the caller has read.
    pub if_match: Option<String>,
}

/// The key by which a client marks repetitions of one request, with a fingerprint of that request.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Digest of the client's key, in hexadecimal. It is stored for a day, and some clients derive their keys from
    /// secrets, so the key itself is not stored.
    pub key: String,
    /// Digest of the request.
    pub fingerprint: Vec<u8>,
}

impl Idempotency {
    /// Maximum length of a key, in characters.
    pub const MAX_KEY: usize = 255;

    /// Creates a key with a fingerprint of the parts of the request.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an empty, long or unprintable key.
    pub fn new(key: &str, parts: &[&[u8]]) -> Result<Self> {
        if key.is_empty()
            || key.len() > Self::MAX_KEY
            || !key.bytes().all(|c| c.is_ascii_graphic() || c == b' ')
        {
            return Err(Error::invalid("Idempotency-Key", "must be 1 to 255 printable ASCII characters"));
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Ok(Self { key: hex(&Sha256::digest(key)), fingerprint: digest.finalize().to_vec() })
    }
}

impl Ctx {
    /// The context of work that the service does on its own behalf. `request_id` connects its log lines.
    pub fn for_service(name: &str, request_id: impl Into<Arc<str>>) -> Self {
        Self {
            caller: Caller::this_service(name),
            request_id: request_id.into(),
            traceparent: telemetry::traceparent().map(Into::into),
        }
    }

    /// The caller's scope inside one platform.
    ///
    /// # Errors
    /// Those of [`Scope::platform`](crate::Scope::platform).
    pub fn platform(&self, id: &PlatformId) -> Result<PlatformScope> {
        self.caller.scope.platform(id)
    }

    /// The trace id of the request, for the audit log.
    pub fn trace_id(&self) -> Option<&str> {
        self.traceparent.as_deref().and_then(|parent| parent.split('-').nth(1))
    }
}

impl Deref for WriteCtx {
    type Target = Ctx;

    fn deref(&self) -> &Ctx {
        &self.ctx
    }
}

impl WriteCtx {
    /// A write in this context without execution options.
    pub fn new(ctx: Ctx) -> Self {
        Self { ctx, dry_run: false, idempotency: None, if_match: None }
    }

    /// A write that the service does on its own behalf, without execution options.
    pub fn for_service(name: &str, request_id: impl Into<Arc<str>>) -> Self {
        Self::new(Ctx::for_service(name, request_id))
    }

    /// Checks the `If-Match` header, so that the caller cannot overwrite a state that they have not read.
    ///
    /// # Errors
    /// [`Kind::PreconditionFailed`] when the header was sent and does not match the current state.
    pub fn check_match<T: Serialize>(&self, current: &T) -> Result<()> {
        let Some(expected) = &self.if_match else { return Ok(()) };
        let etag = crate::etag::of(current)?;
        if expected == "*" || expected.split(',').any(|one| one.trim() == etag) {
            return Ok(());
        }
        let message = "The object has changed since it was read. Read it again.";
        Err(Error::new(Kind::PreconditionFailed, message).with("etag", etag))
    }
}
