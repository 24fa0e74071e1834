//! Grants from iam, with a short-lived cache.
//!
//! The gateway caches a response only while it receives revocations from iam (`watch`). A revoked key is therefore
//! rejected as soon as the revocation has been acknowledged. Without the stream, every request causes a call to iam.

mod client;
mod single_flight;
mod watch;

use std::{sync::Arc, time::Duration};

use domain::{Grant, Result};
use rpc::Peers;
use runtime::{Probe, config::PeerSettings};
use tokio::task::JoinHandle;

pub(crate) use client::ApiKey;

use self::client::{Client, ResolvedKey};

/// Time for which a response is cached.
const TTL: Duration = Duration::from_secs(5);
/// Time for which an unknown key is cached. It is short, because a repeated lookup is cheap.
const UNKNOWN_KEY_TTL: Duration = Duration::from_secs(1);

/// The client of iam, with a background task that receives revocations. Dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Iam {
    client: Arc<Client>,
    watch_task: JoinHandle<()>,
}

impl Drop for Iam {
    fn drop(&mut self) {
        self.watch_task.abort();
    }
}

impl Iam {
    /// Starts the background task. Must be called in a tokio runtime that outlives it.
    ///
    /// # Errors
    /// When the address is not a URL.
    pub(crate) fn new(settings: &PeerSettings, peers: &Peers) -> anyhow::Result<Self> {
        let client = Arc::new(Client::new(rpc::Client::new(peers, settings)?));
        let watch_task = tokio::spawn(watch::watch_forever(Arc::clone(&client)));
        Ok(Self { client, watch_task })
    }

    /// Resolves a key; `None` if there is no such key.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when iam cannot resolve it now.
    pub(crate) async fn key(&self, key: ApiKey) -> Result<Option<ResolvedKey>> {
        let ttl = |resolved: &Option<ResolvedKey>| if resolved.is_some() { TTL } else { UNKNOWN_KEY_TTL };
        match self.client.cache() {
            Some(cache) => cache.keys.get(&key, ttl, || self.client.resolve_key(key)).await,
            None => self.client.resolve_key(key).await,
        }
    }

    /// Returns the grants of a person.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when iam cannot resolve them now.
    pub(crate) async fn grants_of(&self, subject: &str) -> Result<Vec<Grant>> {
        let resolve = || self.client.resolve_person(subject);
        match self.client.cache() {
            Some(cache) => cache.people.get(&subject.to_owned(), |_| TTL, resolve).await,
            None => resolve().await,
        }
    }

    /// Returns true if iam sends revocations. Without them, keys work, but every use causes a call to iam.
    pub(crate) fn receives_revocations(&self) -> bool {
        self.client.cache().is_some()
    }
}

/// Returns a probe that reports whether the current client receives revocations.
pub(crate) fn probe(current: impl Fn() -> Arc<Iam> + Send + Sync + 'static) -> Probe {
    Probe::optional("revocations", move || {
        let receives_revocations = current().receives_revocations();
        Box::pin(async move {
            let message = "no revocations from iam; responses are not cached, and every use calls iam";
            if receives_revocations { Ok(()) } else { Err(message.to_owned()) }
        })
    })
}
