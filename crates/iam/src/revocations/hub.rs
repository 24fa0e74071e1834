//! Those who watch this process, and what each has yet to forget.

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

/// How long who revokes waits for those who watch.
const PATIENCE: Duration = Duration::from_secs(1);
/// Whoever has more than this to forget does not listen: its watch ends, and when it begins again it forgets all.
const MOST: usize = 1024;
/// When nothing was seen of other processes for so long, nobody can be promised to be told in time.
const STALE: Duration = Duration::from_secs(5);

/// Those who watch. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Told when someone has forgotten, or watches no more.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    watching: HashMap<u64, Watcher>,
    /// The number up to which all was told.
    settled: i64,
    /// Higher numbers that were told.
    told: BTreeSet<i64>,
    /// When it was last known what other processes revoke.
    seen: Option<Instant>,
}

#[derive(Debug)]
struct Watcher {
    out: mpsc::Sender<Revocation>,
    to_forget: HashSet<i64>,
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing up to `settled` needs to be told.
    pub(super) fn begin(&self, settled: i64) {
        let mut state = self.state();
        state.settled = settled;
        state.seen = Some(Instant::now());
    }

    /// The number up to which all was told.
    pub(super) fn settled(&self) -> i64 {
        self.state().settled
    }

    /// All that other processes have revoked was told; up to `settled` nothing more will come.
    pub(super) fn seen(&self, settled: Option<i64>) {
        let mut state = self.state();
        state.seen = Some(Instant::now());
        if let Some(settled) = settled {
            state.settled = settled;
            state.told = state.told.split_off(&settled.saturating_add(1));
        }
    }

    /// What other processes revoke cannot be seen. If that lasts, those who watch must not believe that they are told.
    pub(super) fn not_seen(&self) {
        let mut state = self.state();
        if state.is_stale() {
            state.watching.clear();
            self.0.changed.notify_waiters();
        }
    }

    /// Begins a watch: from now on, whatever is revoked comes out.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] while that cannot be promised.
    pub(super) fn join(&self) -> Result<(u64, mpsc::Receiver<Revocation>)> {
        let mut state = self.state();
        if state.is_stale() {
            return Err(Error::unavailable("Watching", "what others revoke is not seen"));
        }
        let (out, told) = mpsc::channel(MOST);
        let id = state.next;
        state.next += 1;
        state.watching.insert(id, Watcher { out, to_forget: HashSet::new() });
        Ok((id, told))
    }

    /// Ends a watch.
    pub(super) fn leave(&self, id: u64) {
        self.state().watching.remove(&id);
        self.0.changed.notify_waiters();
    }

    /// Someone says what they forgot.
    pub(super) fn forgotten(&self, id: u64, number: i64) {
        if let Some(watcher) = self.state().watching.get_mut(&id) {
            watcher.to_forget.remove(&number);
        }
        self.0.changed.notify_waiters();
    }

    /// Tells a revocation to those who watch, unless they were told.
    pub(super) fn tell(&self, revocation: &Revocation) {
        let mut state = self.state();
        let number = revocation.number;
        if number <= state.settled || !state.told.insert(number) {
            return;
        }
        state.watching.retain(|_, watcher| {
            watcher.to_forget.insert(number);
            watcher.to_forget.len() < MOST && watcher.out.try_send(revocation.clone()).is_ok()
        });
    }

    /// Tells a revocation, and waits until everyone has forgotten; but not for long: who does not answer must not keep
    /// a key from being revoked.
    pub(crate) async fn spread(&self, revocation: &Revocation) {
        self.tell(revocation);
        let all = async {
            loop {
                let changed = self.0.changed.notified();
                tokio::pin!(changed);
                // From here on nothing is missed.
                changed.as_mut().enable();
                if !self.is_awaited(revocation.number) {
                    break;
                }
                changed.await;
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            tracing::warn!(number = revocation.number, "not everyone who watches has forgotten in time");
        }
    }

    fn is_awaited(&self, number: i64) -> bool {
        self.state().watching.values().any(|watcher| watcher.to_forget.contains(&number))
    }
}

impl State {
    fn is_stale(&self) -> bool {
        self.seen.is_none_or(|seen| seen.elapsed() > STALE)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{super::What, *};

    fn revocation(number: i64) -> Revocation {
        Revocation { number, what: What::Key(Uuid::nil()) }
    }

    fn begun() -> Hub {
        let hub = Hub::default();
        hub.begin(10);
        hub
    }

    #[tokio::test]
    async fn each_is_told_once_also_what_comes_late() {
        let hub = begun();
        let (_, mut told) = hub.join().unwrap();
        for number in [13, 10, 12, 13, 9, 11] {
            hub.tell(&revocation(number));
        }
        let mut numbers = Vec::new();
        while let Ok(one) = told.try_recv() {
            numbers.push(one.number);
        }
        assert_eq!(numbers, [13, 12, 11]);
        hub.seen(Some(12));
        hub.tell(&revocation(12));
        hub.tell(&revocation(13));
        assert!(told.try_recv().is_err());
        assert_eq!(hub.settled(), 12);
    }

    #[tokio::test]
    async fn who_revokes_waits_for_all_who_watch_but_not_for_those_who_left() {
        let hub = begun();
        let (first, mut told) = hub.join().unwrap();
        let (second, _held) = hub.join().unwrap();
        let waits = {
            let hub = hub.clone();
            tokio::spawn(async move { hub.spread(&revocation(11)).await })
        };
        assert_eq!(told.recv().await, Some(revocation(11)));
        hub.forgotten(first, 11);
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        hub.leave(second);
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn who_does_not_answer_is_not_waited_for_long() {
        let hub = begun();
        let (_, _held) = hub.join().unwrap();
        let started = Instant::now();
        hub.spread(&revocation(11)).await;
        assert!(started.elapsed() >= PATIENCE);
    }

    #[test]
    fn who_does_not_listen_is_sent_away() {
        let hub = begun();
        let (_, mut told) = hub.join().unwrap();
        for number in 0..2000 {
            hub.tell(&revocation(11 + number));
        }
        assert!(hub.state().watching.is_empty());
        while told.try_recv().is_ok() {}
        assert!(told.is_closed());
    }

    #[test]
    fn nobody_watches_what_is_not_seen() {
        assert!(Hub::default().join().is_err());
        let hub = begun();
        let (_, _held) = hub.join().unwrap();
        hub.not_seen();
        assert_eq!(hub.state().watching.len(), 1);
        hub.state().seen = Instant::now().checked_sub(STALE * 2);
        hub.not_seen();
        assert!(hub.state().watching.is_empty() && hub.join().is_err());
        hub.seen(None);
        assert!(hub.join().is_ok());
    }
}
