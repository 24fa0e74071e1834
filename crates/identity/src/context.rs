//! What travels with a request: who, which request, which trace; for a write also how it is to be done.

use std::{ops::Deref, sync::Arc};

use domain::{Error, Kind, PlatformId, Result};
use runtime::telemetry;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Caller, PlatformScope};

/// A request that reads.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Who calls.
    pub caller: Caller,
    /// The id of the request, from the client or made at the first entry.
    pub request_id: Arc<str>,
    /// W3C trace context of the current span, if it is traced.
    pub traceparent: Option<Arc<str>>,
}

/// A request that writes.
#[derive(Debug, Clone)]
pub struct WriteCtx {
    /// What a read has too.
    pub ctx: Ctx,
    /// Run everything, keep nothing.
    pub dry_run: bool,
    /// Do it once, however often it is asked for.
    pub idempotency: Option<Idempotency>,
    /// The state of the thing that the caller has seen, as its ETag.
    pub if_match: Option<String>,
}

/// A key by which a client marks repetitions of one request, and what the request was.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Digest of the client's key, in hexadecimal: it is kept for a day, and some clients make it of what is secret.
    pub key: String,
    /// Digest of what was asked.
    pub fingerprint: Vec<u8>,
}

impl Idempotency {
    /// The longest key that is taken, in characters.
    pub const MAX_KEY: usize = 255;

    /// A key with the digest of the parts of the request.
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
    /// The service itself, at work on its own account; `request_id` ties its log lines together.
    pub fn of_service(name: &str, request_id: impl Into<Arc<str>>) -> Self {
        Self {
            caller: Caller::this_service(name),
            request_id: request_id.into(),
            traceparent: telemetry::traceparent().map(Into::into),
        }
    }

    /// One platform, or those of its entities that the caller's role reaches.
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
    /// A plain write in this context.
    pub fn of(ctx: Ctx) -> Self {
        Self { ctx, dry_run: false, idempotency: None, if_match: None }
    }

    /// A plain write of the service itself.
    pub fn of_service(name: &str, request_id: impl Into<Arc<str>>) -> Self {
        Self::of(Ctx::of_service(name, request_id))
    }

    /// Refuses to write over what the caller has not seen.
    ///
    /// # Errors
    /// [`Kind::PreconditionFailed`] when `If-Match` was sent and names another state.
    pub fn check_match<T: Serialize>(&self, current: &T) -> Result<()> {
        let Some(wanted) = &self.if_match else { return Ok(()) };
        let etag = crate::etag::of(current)?;
        if wanted == "*" || wanted.split(',').any(|one| one.trim() == etag) {
            return Ok(());
        }
        Err(Error::new(Kind::PreconditionFailed, "The thing has changed since it was read")
            .with("etag", etag))
    }
}
