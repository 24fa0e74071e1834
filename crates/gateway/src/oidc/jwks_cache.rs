//! The keys of an issuer, fetched anew from time to time by a task of their own.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{fetch::Source, keys::KeySet};

/// How long it takes until keys are fetched again: after success, and after failure.
const REFRESH: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(15);
/// How long it takes until another unknown key id is asked about: whoever makes ids up causes no load.
const BETWEEN_ASKED: Duration = Duration::from_secs(10);
/// How many may wait for a fetch. To the rest the keys are what they are.
const WAITING: usize = 256;

type Current = Arc<ArcSwapOption<KeySet>>;

/// Someone who misses a key.
struct Ask {
    since: Instant,
    /// Dropped when there is nothing more to wait for.
    _done: oneshot::Sender<()>,
}

/// The keys, as long as this lives. The last good ones are kept while the issuer is away.
pub(super) struct JwksCache {
    current: Current,
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<()>,
}

impl Drop for JwksCache {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl JwksCache {
    /// Begins to fetch. Must be called in a tokio runtime that outlives it.
    pub(super) fn new(name: String, source: Source) -> Self {
        let (asks, asked) = mpsc::channel(WAITING);
        let current = Current::default();
        let task = tokio::spawn(keep(name, source, Arc::clone(&current), asked));
        Self { current, asks, task }
    }

    /// The keys of now; none if there never were any.
    pub(super) fn now(&self) -> Option<Arc<KeySet>> {
        self.current.load_full()
    }

    /// The same after they were fetched again, if it is time for that.
    pub(super) async fn fetched_again(&self) -> Option<Arc<KeySet>> {
        let (done, finished) = oneshot::channel();
        if self.asks.try_send(Ask { since: Instant::now(), _done: done }).is_ok() {
            // It is never sent to: it ends when the other side lets go.
            let _ = finished.await;
        }
        self.now()
    }
}

async fn keep(name: String, source: Source, current: Current, mut asks: mpsc::Receiver<Ask>) {
    let mut asked_at: Option<Instant> = None;
    let mut waiting: Option<Ask> = None;
    loop {
        let pause = match source.keys().await {
            Ok(keys) => {
                current.store(Some(Arc::new(keys)));
                REFRESH
            }
            Err(error) => {
                let cause = format!("{error:#}");
                tracing::warn!(issuer = name, cause, "no keys of this issuer; the last ones are kept");
                RETRY
            }
        };
        let fetched = Instant::now();
        drop(waiting.take());
        while waiting.is_none() {
            tokio::select! {
                () = sleep_until(fetched + pause) => break,
                ask = asks.recv() => {
                    let Some(ask) = ask else { return };
                    let is_soon = asked_at.is_some_and(|at| at.elapsed() < BETWEEN_ASKED);
                    if ask.since > fetched && !is_soon {
                        asked_at = Some(Instant::now());
                        waiting = Some(ask);
                    }
                }
            }
        }
    }
}
