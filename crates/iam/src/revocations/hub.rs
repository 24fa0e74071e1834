//! Gateways that watch this process, with the revocations that each has yet to acknowledge.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::{Error, Result};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

use super::Revocation;

/// Maximum time for which a revocation waits for acknowledgements.
const ACK_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of unacknowledged revocations of a watcher. Beyond it, its watch ends. When the watcher starts again,
/// it drops its whole cache.
const MAX_PENDING: usize = 1024;
/// Time since the last successful poll after which watches end, because revocations may arrive late.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// Watchers of this process. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Notified when a watcher acknowledges a revocation or leaves.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    watchers: HashMap<u64, Watcher>,
    /// Number up to which all revocations are published.
    settled: i64,
    /// Published numbers above `settled`.
    published: BTreeSet<i64>,
    /// Time of the last successful poll.
    polled_at: Option<Instant>,
}

#[derive(Debug)]
struct Watcher {
    sender: mpsc::Sender<Revocation>,
    unacknowledged: HashSet<i64>,
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts after the revocation `settled`.
    pub(super) fn start(&self, settled: i64) {
        let mut state = self.state();
        state.settled = settled;
        state.polled_at = Some(Instant::now());
    }

    /// The number up to which all revocations are published.
    pub(super) fn settled(&self) -> i64 {
        self.state().settled
    }

    /// Records a successful poll. No revocation up to `settled` will appear after it.
    pub(super) fn polled(&self, settled: Option<i64>) {
        let mut state = self.state();
        state.polled_at = Some(Instant::now());
        if let Some(settled) = settled {
            state.settled = settled;
            state.published = state.published.split_off(&settled.saturating_add(1));
        }
    }

    /// Records a failed poll. Ends all watches if the last successful poll is too long ago.
    pub(super) fn poll_failed(&self) {
        let mut state = self.state();
        if state.is_stale() {
            state.watchers.clear();
            self.0.changed.notify_waiters();
        }
    }

    /// Starts a watch, which receives all revocations from now on.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] while revocations of other processes may be missed.
    pub(super) fn subscribe(&self) -> Result<(u64, mpsc::Receiver<Revocation>)> {
        let mut state = self.state();
        if state.is_stale() {
            let context = "the revocations of other processes cannot be read";
            return Err(Error::unavailable("The watch of revocations", context));
        }
        let (sender, receiver) = mpsc::channel(MAX_PENDING);
        let id = state.next;
        state.next += 1;
        state.watchers.insert(id, Watcher { sender, unacknowledged: HashSet::new() });
        Ok((id, receiver))
    }

    /// Ends a watch.
    pub(super) fn unsubscribe(&self, id: u64) {
        self.state().watchers.remove(&id);
        self.0.changed.notify_waiters();
    }

    /// Records that a watcher has dropped the target of a revocation from its cache.
    pub(super) fn acknowledge(&self, id: u64, number: i64) {
        if let Some(watcher) = self.state().watchers.get_mut(&id) {
            watcher.unacknowledged.remove(&number);
        }
        self.0.changed.notify_waiters();
    }

    /// Sends a revocation to all watchers, unless it is published already.
    pub(super) fn publish(&self, revocation: &Revocation) {
        let mut state = self.state();
        let number = revocation.number;
        if number <= state.settled || !state.published.insert(number) {
            return;
        }
        state.watchers.retain(|_, watcher| {
            watcher.unacknowledged.insert(number);
            watcher.unacknowledged.len() < MAX_PENDING && watcher.sender.try_send(revocation.clone()).is_ok()
        });
    }

    /// Publishes a revocation and waits for the acknowledgements of all watchers. The wait is short, so that a watcher
    /// that does not respond cannot block revocations.
    pub(crate) async fn publish_and_wait(&self, revocation: &Revocation) {
        self.publish(revocation);
        let all = async {
            loop {
                let changed = self.0.changed.notified();
                tokio::pin!(changed);
                // Registers for notifications before the check, so that none is missed.
                changed.as_mut().enable();
                if !self.is_unacknowledged(revocation.number) {
                    break;
                }
                changed.await;
            }
        };
        if timeout(ACK_TIMEOUT, all).await.is_err() {
            tracing::warn!(
                number = revocation.number,
                "some gateways did not acknowledge a revocation in time"
            );
        }
    }

    fn is_unacknowledged(&self, number: i64) -> bool {
        self.state().watchers.values().any(|watcher| watcher.unacknowledged.contains(&number))
    }
}

impl State {
    fn is_stale(&self) -> bool {
        self.polled_at.is_none_or(|polled_at| polled_at.elapsed() > STALE_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{super::Revoked, *};

    fn revocation(number: i64) -> Revocation {
        Revocation { number, target: Revoked::Key(Uuid::nil()) }
    }

    fn started() -> Hub {
        let hub = Hub::default();
        hub.start(10);
        hub
    }

    #[tokio::test]
    async fn each_revocation_is_published_once_also_a_late_one() {
        let hub = started();
        let (_, mut received) = hub.subscribe().unwrap();
        for number in [13, 10, 12, 13, 9, 11] {
            hub.publish(&revocation(number));
        }
        let mut numbers = Vec::new();
        while let Ok(one) = received.try_recv() {
            numbers.push(one.number);
        }
        assert_eq!(numbers, [13, 12, 11]);
        hub.polled(Some(12));
        hub.publish(&revocation(12));
        hub.publish(&revocation(13));
        assert!(received.try_recv().is_err());
        assert_eq!(hub.settled(), 12);
    }

    #[tokio::test]
    async fn revocation_waits_for_all_current_watchers() {
        let hub = started();
        let (first, mut received) = hub.subscribe().unwrap();
        let (second, _open) = hub.subscribe().unwrap();
        let waits = {
            let hub = hub.clone();
            tokio::spawn(async move { hub.publish_and_wait(&revocation(11)).await })
        };
        assert_eq!(received.recv().await, Some(revocation(11)));
        hub.acknowledge(first, 11);
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        hub.unsubscribe(second);
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn revocation_stops_waiting_for_a_silent_watcher() {
        let hub = started();
        let (_, _open) = hub.subscribe().unwrap();
        let started = Instant::now();
        hub.publish_and_wait(&revocation(11)).await;
        assert!(started.elapsed() >= ACK_TIMEOUT);
    }

    #[test]
    fn watch_ends_if_its_watcher_receives_nothing() {
        let hub = started();
        let (_, mut received) = hub.subscribe().unwrap();
        for number in 0..2000 {
            hub.publish(&revocation(11 + number));
        }
        assert!(hub.state().watchers.is_empty());
        while received.try_recv().is_ok() {}
        assert!(received.is_closed());
    }

    #[test]
    fn watches_end_while_polls_fail() {
        assert!(Hub::default().subscribe().is_err());
        let hub = started();
        let (_, _open) = hub.subscribe().unwrap();
        hub.poll_failed();
        assert_eq!(hub.state().watchers.len(), 1);
        hub.state().polled_at = Instant::now().checked_sub(STALE_AFTER * 2);
        hub.poll_failed();
        assert!(hub.state().watchers.is_empty() && hub.subscribe().is_err());
        hub.polled(None);
        assert!(hub.subscribe().is_ok());
    }
}
