//! What iam knows of callers, remembered for a moment.
//!
//! An answer is used again only while iam tells what it revokes (`watch`): a revoked key is refused from the moment
//! that its revocation is answered, and without that news iam is asked each time.

mod client;
mod single_flight;
mod watch;

use std::{sync::Arc, time::Duration};

use domain::{Grant, Result};
use rpc::Peers;
use runtime::{Probe, config::PeerSettings};
use tokio::task::JoinHandle;

pub(crate) use client::ApiKey;

use self::client::{Client, KnownKey};

/// How long an answer is used again.
const KEEP: Duration = Duration::from_secs(5);
/// The same for the answer that there is no such key: it costs no one anything if it is soon asked for again.
const KEEP_UNKNOWN: Duration = Duration::from_secs(1);

/// iam, as long as this lives.
#[derive(Debug)]
pub(crate) struct Iam {
    client: Arc<Client>,
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
        let client = Arc::new(Client::new(rpc::Client::new(peers, settings)?));
        let watching = tokio::spawn(watch::forever(Arc::clone(&client)));
        Ok(Self { client, watching })
    }

    /// What a key stands for; none if there is no such key.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when iam does not say.
    pub(crate) async fn key(&self, key: ApiKey) -> Result<Option<KnownKey>> {
        let keep = |known: &Option<KnownKey>| if known.is_some() { KEEP } else { KEEP_UNKNOWN };
        match self.client.watched() {
            Some(watched) => watched.keys.get(&key, keep, || self.client.ask_key(key)).await,
            None => self.client.ask_key(key).await,
        }
    }

    /// What a person was granted.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when iam does not say.
    pub(crate) async fn grants_of(&self, subject: &str) -> Result<Vec<Grant>> {
        let ask = || self.client.ask_person(subject);
        match self.client.watched() {
            Some(watched) => watched.people.get(&subject.to_owned(), |_| KEEP, ask).await,
            None => ask().await,
        }
    }

    /// Tells at `/ready` whether revocations are heard of. Without them keys work, and each use asks iam.
    pub(crate) fn is_watching(&self) -> bool {
        self.client.watched().is_some()
    }
}

/// The probe of the watch that `current` gives.
pub(crate) fn probe(current: impl Fn() -> Arc<Iam> + Send + Sync + 'static) -> Probe {
    Probe::optional("revocations", move || {
        let is_watching = current().is_watching();
        Box::pin(async move {
            let told = "not told by iam: nothing is remembered of keys and people, and each use asks";
            if is_watching { Ok(()) } else { Err(told.to_owned()) }
        })
    })
}
