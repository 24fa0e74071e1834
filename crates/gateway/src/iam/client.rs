//! The gRPC client of iam, and the cache of its responses.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use domain::{Error, Grant, Result, id};
use identity::Ctx;
use rpc::{
    Iam, Method, PeerCall,
    iam::{ResolveKeyRequest, ResolvePersonRequest},
};
use uuid::Uuid;

use super::single_flight::SingleFlightCache;
use crate::NAME;

/// Maximum number of cached responses, for keys and for people each.
const CACHE_CAPACITY: usize = 10_000;
/// Deadline of a call to iam, for which a client's request waits.
const DEADLINE: Duration = Duration::from_secs(2);

/// An API key in a request to iam: the digest, never the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ApiKey {
    pub(crate) id: Uuid,
    pub(crate) secret_digest: [u8; 32],
}

/// The grant and expiry of an API key.
#[derive(Debug, Clone)]
pub(crate) struct ResolvedKey {
    pub(crate) grant: Grant,
    /// Milliseconds since the Unix epoch.
    pub(crate) expires_at: Option<i64>,
}

/// The responses cached during one revocation stream.
#[derive(Debug)]
pub(super) struct CachedResponses {
    pub(super) keys: SingleFlightCache<ApiKey, Option<ResolvedKey>>,
    pub(super) people: SingleFlightCache<String, Vec<Grant>>,
}

impl CachedResponses {
    pub(super) fn new() -> Self {
        Self { keys: SingleFlightCache::new(CACHE_CAPACITY), people: SingleFlightCache::new(CACHE_CAPACITY) }
    }
}

/// The connection to iam and the cached responses.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) iam: rpc::Client<Iam>,
    /// `None` while there is no revocation stream. Each stream starts with an empty cache, so that a response from
    /// before the stream cannot enter it.
    cache: ArcSwapOption<CachedResponses>,
}

impl Client {
    pub(super) fn new(iam: rpc::Client<Iam>) -> Self {
        Self { iam, cache: ArcSwapOption::empty() }
    }

    pub(super) fn cache(&self) -> Option<Arc<CachedResponses>> {
        self.cache.load_full()
    }

    pub(super) fn set_cache(&self, cache: Option<Arc<CachedResponses>>) {
        self.cache.store(cache);
    }

    async fn call<M: Method<Service = Iam>>(&self, request: M) -> Result<M::Response> {
        let ctx = Ctx::for_service(NAME, id::uuid_v7().to_string());
        self.iam.call_with(&ctx, PeerCall { idempotency_key: None, deadline: Some(DEADLINE) }, request).await
    }

    pub(super) async fn resolve_key(&self, key: ApiKey) -> Result<Option<ResolvedKey>> {
        let resolve = async {
            let message =
                ResolveKeyRequest { id: key.id.to_string(), secret_digest: key.secret_digest.to_vec() };
            let Some(key) = self.call(message).await?.key else { return Ok(None) };
            let grant = rpc::required("grant", key.grant)?.try_into()?;
            Ok(Some(ResolvedKey { grant, expires_at: key.expires_at }))
        };
        resolve.await.map_err(cannot_resolve)
    }

    pub(super) async fn resolve_person(&self, subject: &str) -> Result<Vec<Grant>> {
        let resolve = async {
            let message = ResolvePersonRequest { subject: subject.to_owned() };
            let response = self.call(message).await?;
            response.grants.into_iter().map(Grant::try_from).collect::<Result<Vec<_>>>()
        };
        resolve.await.map_err(cannot_resolve)
    }
}

/// Returns the error for any failure of iam: the caller cannot be authenticated now, but a retry may succeed.
#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err requires")]
fn cannot_resolve(error: Error) -> Error {
    Error::service_unavailable("iam", format!("{}: {}", error.message(), error.log_context()))
        .with("retryAfterSeconds", 1)
}
