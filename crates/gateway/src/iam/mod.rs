//! What iam knows of callers, remembered for a moment.
//!
//! An answer is used again only while iam tells what it revokes (`watch`): a revoked key is refused from the moment
//! that its revocation is answered, and without that news iam is asked each time.

mod memory;
mod watch;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use domain::{Error, Grant, Reach, Result, Role, id};
use identity::Ctx;
use rpc::iam::{self as messages, ResolveKeyRequest, ResolvePersonRequest, iam_client::IamClient};
use rpc::{Message, Peer, PeerCall, Peers};
use runtime::{Probe, config::PeerSettings};
use tokio::task::JoinHandle;

use self::memory::Memory;
use crate::{keys::ApiKey, server::NAME};

/// How long an answer is used again.
const KEEP: Duration = Duration::from_secs(5);
/// The same for the answer that there is no such key: it costs no one anything if it is soon asked for again.
const KEEP_UNKNOWN: Duration = Duration::from_secs(1);
/// How many answers are remembered at most, of keys and of people.
const REMEMBERED: usize = 10_000;
/// How long iam may take to answer: a request waits for it.
const DEADLINE: Duration = Duration::from_secs(2);

/// What an API key stands for.
#[derive(Debug, Clone)]
pub(crate) struct KnownKey {
    pub(crate) grant: Grant,
    /// Milliseconds since 1970.
    pub(crate) expires_at: Option<i64>,
}

/// What is remembered from the beginning of one watch to its end.
#[derive(Debug)]
struct Watched {
    keys: Memory<ApiKey, Option<KnownKey>>,
    people: Memory<String, Vec<Grant>>,
}

impl Watched {
    fn new() -> Self {
        Self { keys: Memory::new(REMEMBERED), people: Memory::new(REMEMBERED) }
    }
}

#[derive(Debug)]
struct Inner {
    peer: Peer,
    /// None while nothing tells what is revoked. A new one is made with each watch, so that an answer from before
    /// cannot come into it.
    watched: RwLock<Option<Arc<Watched>>>,
}

/// iam, as long as this lives.
#[derive(Debug)]
pub(crate) struct Iam {
    inner: Arc<Inner>,
    watching: JoinHandle<()>,
}

impl Drop for Iam {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Iam {
    /// Begins to watch what is revoked. Must be called in a tokio runtime that outlives it.
    ///
    /// # Errors
    /// When the address is no URL.
    pub(crate) fn new(settings: &PeerSettings, peers: &Peers) -> anyhow::Result<Self> {
        let peer = peers.to("iam", settings)?;
        let inner = Arc::new(Inner { peer, watched: RwLock::default() });
        let watching = tokio::spawn(watch::forever(Arc::clone(&inner)));
        Ok(Self { inner, watching })
    }

    /// What a key stands for; none if there is no such key.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when iam does not say.
    pub(crate) async fn key(&self, key: ApiKey) -> Result<Option<KnownKey>> {
        let keep = |known: &Option<KnownKey>| if known.is_some() { KEEP } else { KEEP_UNKNOWN };
        match self.inner.watched() {
            Some(watched) => watched.keys.get(&key, keep, || self.inner.ask_key(key)).await,
            None => self.inner.ask_key(key).await,
        }
    }

    /// What a person was granted.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when iam does not say.
    pub(crate) async fn grants_of(&self, subject: &str) -> Result<Vec<Grant>> {
        let ask = || self.inner.ask_person(subject);
        match self.inner.watched() {
            Some(watched) => watched.people.get(&subject.to_owned(), |_| KEEP, ask).await,
            None => ask().await,
        }
    }

    /// Tells at `/ready` whether revocations are heard of. Without them keys work, and each use asks iam.
    pub(crate) fn is_watching(&self) -> bool {
        self.inner.watched().is_some()
    }
}

/// The probe of the watch that `current` gives.
pub(crate) fn probe(current: impl Fn() -> Arc<Iam> + Send + Sync + 'static) -> Probe {
    Probe::told("revocations", move || {
        let is_watching = current().is_watching();
        Box::pin(async move {
            let told = "not told by iam: nothing is remembered of keys and people, and each use asks";
            if is_watching { Ok(()) } else { Err(told.to_owned()) }
        })
    })
}

impl Inner {
    fn watched(&self) -> Option<Arc<Watched>> {
        self.watched.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_watched(&self, watched: Option<Arc<Watched>>) {
        *self.watched.write().unwrap_or_else(PoisonError::into_inner) = watched;
    }

    fn request<T: Message>(&self, message: T) -> Result<tonic::Request<T>> {
        let ctx = Ctx::of_service(NAME, id::uuid_v7().to_string());
        self.peer.request(&ctx, PeerCall { key: None, deadline: Some(DEADLINE) }, message)
    }

    async fn ask_key(&self, key: ApiKey) -> Result<Option<KnownKey>> {
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

    async fn ask_person(&self, subject: &str) -> Result<Vec<Grant>> {
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
