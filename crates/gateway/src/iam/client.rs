//! The gRPC client of iam, and the answers that are cached while revocations are followed.

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

/// Maximum number of cached answers, for keys and for people each.
const REMEMBERED: usize = 10_000;
/// The deadline of a call to iam: a request waits for it.
const DEADLINE: Duration = Duration::from_secs(2);

/// An API key in a request to iam: the digest, never the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ApiKey {
    pub(crate) id: Uuid,
    pub(crate) secret_digest: [u8; 32],
}

/// What an API key stands for.
#[derive(Debug, Clone)]
pub(crate) struct KnownKey {
    pub(crate) grant: Grant,
    /// Milliseconds since 1970.
    pub(crate) expires_at: Option<i64>,
}

/// The answers cached during one watch.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) keys: SingleFlightCache<ApiKey, Option<KnownKey>>,
    pub(super) people: SingleFlightCache<String, Vec<Grant>>,
}

impl Watched {
    pub(super) fn new() -> Self {
        Self { keys: SingleFlightCache::new(REMEMBERED), people: SingleFlightCache::new(REMEMBERED) }
    }
}

/// The connection to iam and the cached answers.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) iam: rpc::Client<Iam>,
    /// `None` while iam does not report revocations. Each watch starts with an empty cache, so that an answer from
    /// before the watch cannot enter it.
    watched: ArcSwapOption<Watched>,
}

impl Client {
    pub(super) fn new(iam: rpc::Client<Iam>) -> Self {
        Self { iam, watched: ArcSwapOption::empty() }
    }

    pub(super) fn watched(&self) -> Option<Arc<Watched>> {
        self.watched.load_full()
    }

    pub(super) fn set_watched(&self, watched: Option<Arc<Watched>>) {
        self.watched.store(watched);
    }

    async fn ask<M: Method<Service = Iam>>(&self, request: M) -> Result<M::Response> {
        let ctx = Ctx::for_service(NAME, id::uuid_v7().to_string());
        self.iam.call_with(&ctx, PeerCall { idempotency_key: None, deadline: Some(DEADLINE) }, request).await
    }

    pub(super) async fn ask_key(&self, key: ApiKey) -> Result<Option<KnownKey>> {
        let ask = async {
            let message =
                ResolveKeyRequest { id: key.id.to_string(), secret_digest: key.secret_digest.to_vec() };
            let Some(key) = self.ask(message).await?.key else { return Ok(None) };
            let grant = rpc::required("grant", key.grant)?.try_into()?;
            Ok(Some(KnownKey { grant, expires_at: key.expires_at }))
        };
        ask.await.map_err(does_not_say)
    }

    pub(super) async fn ask_person(&self, subject: &str) -> Result<Vec<Grant>> {
        let ask = async {
            let message = ResolvePersonRequest { subject: subject.to_owned() };
            let answer = self.ask(message).await?;
            answer.grants.into_iter().map(Grant::try_from).collect::<Result<Vec<_>>>()
        };
        ask.await.map_err(does_not_say)
    }
}

/// Whatever kept iam from answering, a caller cannot be known now and may be in a moment.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn does_not_say(error: Error) -> Error {
    Error::unavailable("iam", format!("{}: {}", error.message(), error.log_context()))
        .with("retryAfterSeconds", 1)
}
