//! A cache of an issuer's keys, which a background task refreshes.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{fetch::Source, keys::KeySet};

/// The pause between fetches: after success, and after failure.
const REFRESH: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(15);
/// Minimum interval between fetches for unknown key ids, so that forged ids cause no load.
const REQUEST_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum number of requests that wait for a fetch. Further requests use the current keys.
const MAX_WAITING: usize = 256;

type Current = Arc<ArcSwapOption<KeySet>>;

/// A request for a fetch, because a key is missing.
struct FetchRequest {
    since: Instant,
    /// Dropped when the request has been handled.
    _done: oneshot::Sender<()>,
}

/// The keys of an issuer. The last ones stay in use while the issuer cannot be reached. Dropping the cache ends its
/// task.
pub(super) struct JwksCache {
    current: Current,
    requests: mpsc::Sender<FetchRequest>,
    task: JoinHandle<()>,
}

impl Drop for JwksCache {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl JwksCache {
    /// Starts the background task. Must be called in a tokio runtime that outlives it.
    pub(super) fn new(name: String, source: Source) -> Self {
        let (requests, receiver) = mpsc::channel(MAX_WAITING);
        let current = Current::default();
        let task = tokio::spawn(refresh(name, source, Arc::clone(&current), receiver));
        Self { current, requests, task }
    }

    /// Returns the current keys; `None` if none were ever fetched.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        self.current.load_full()
    }

    /// Requests a fetch, unless there was one recently, and returns the keys after it.
    pub(super) async fn refreshed(&self) -> Option<Arc<KeySet>> {
        let (done, finished) = oneshot::channel();
        if self.requests.try_send(FetchRequest { since: Instant::now(), _done: done }).is_ok() {
            // Nothing is ever sent: the wait ends when the task drops the sender.
            let _ = finished.await;
        }
        self.current()
    }
}

async fn refresh(name: String, source: Source, current: Current, mut requests: mpsc::Receiver<FetchRequest>) {
    let mut requested_at: Option<Instant> = None;
    let mut waiting: Option<FetchRequest> = None;
    loop {
        let pause = match source.keys().await {
            Ok(keys) => {
                current.store(Some(Arc::new(keys)));
                REFRESH
            }
            Err(error) => {
                let cause = format!("{error:#}");
                tracing::warn!(
                    issuer = name,
                    cause,
                    "cannot fetch the keys of an issuer; the last ones stay in use"
                );
                RETRY
            }
        };
        let fetched = Instant::now();
        drop(waiting.take());
        while waiting.is_none() {
            tokio::select! {
                () = sleep_until(fetched + pause) => break,
                request = requests.recv() => {
                    let Some(request) = request else { return };
                    let is_recent = requested_at.is_some_and(|at| at.elapsed() < REQUEST_INTERVAL);
                    if request.since > fetched && !is_recent {
                        requested_at = Some(Instant::now());
                        waiting = Some(request);
                    }
                }
            }
        }
    }
}
