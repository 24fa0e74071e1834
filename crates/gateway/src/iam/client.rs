//! The gRPC client of iam, and the answers that are cached while revocations are followed.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use domain::{Error, Grant, Reach, Result, Role, id};
use identity::Ctx;
use rpc::{
    Message, Peer, PeerCall, iam as messages,
    iam::{ResolveKeyRequest, ResolvePersonRequest, iam_client::IamClient},
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
    pub(super) peer: Peer,
    /// `None` while iam does not report revocations. Each watch starts with an empty cache, so that an answer from
    /// before the watch cannot enter it.
    watched: ArcSwapOption<Watched>,
}

impl Client {
    pub(super) fn new(peer: Peer) -> Self {
        Self { peer, watched: ArcSwapOption::empty() }
    }

    pub(super) fn watched(&self) -> Option<Arc<Watched>> {
        self.watched.load_full()
    }

    pub(super) fn set_watched(&self, watched: Option<Arc<Watched>>) {
        self.watched.store(watched);
    }

    fn request<T: Message>(&self, message: T) -> Result<tonic::Request<T>> {
        let ctx = Ctx::of_service(NAME, id::uuid_v7().to_string());
        self.peer.request(&ctx, PeerCall { key: None, deadline: Some(DEADLINE) }, message)
    }

    pub(super) async fn ask_key(&self, key: ApiKey) -> Result<Option<KnownKey>> {
        let ask = async {
            let message =
                ResolveKeyRequest { id: key.id.to_string(), secret_digest: key.secret_digest.to_vec() };
            let mut client = IamClient::new(self.peer.channel());
            let answer = self.peer.answer(client.resolve_key(self.request(message)?).await)?;
            let Some(key) = answer.key else { return Ok(None) };
            let grant = grant(rpc::required("grant", key.grant)?)?;
            Ok(Some(KnownKey { grant, expires_at: key.expires_at }))
        };
        ask.await.map_err(does_not_say)
    }

    pub(super) async fn ask_person(&self, subject: &str) -> Result<Vec<Grant>> {
        let ask = async {
            let message = ResolvePersonRequest { subject: subject.to_owned() };
            let mut client = IamClient::new(self.peer.channel());
            let answer = self.peer.answer(client.resolve_person(self.request(message)?).await)?;
            answer.grants.into_iter().map(grant).collect::<Result<Vec<_>>>()
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

fn grant(told: messages::Grant) -> Result<Grant> {
    let role: Role = rpc::parse("role", &told.role)?;
    let platform = rpc::parse_optional("platform_id", told.platform_id.as_deref())?;
    let entity = rpc::parse_optional("entity_id", told.entity_id.as_deref())?;
    Grant::new(role, Reach::of(platform, entity)?)
}
