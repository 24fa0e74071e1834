//! Answers that are used again for a moment, each asked for once however many want it.

use std::{
    convert::Infallible,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::Result;
use quick_cache::sync::Cache;
use tokio::sync::OnceCell;

/// One answer: asked for by the first who wants it, waited for by the rest.
type Slot<V> = Arc<OnceCell<Answer<V>>>;

#[derive(Debug)]
struct Answer<V> {
    result: Result<V>,
    until: Instant,
}

/// Answers by what was asked. What is forgotten while it is being asked for is not given to those who come later.
#[derive(Debug)]
pub(crate) struct SingleFlightCache<K, V> {
    slots: Cache<K, Slot<V>>,
}

impl<K: Hash + Eq + Clone, V: Clone> SingleFlightCache<K, V> {
    /// Remembers at most about so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { slots: Cache::new(most) }
    }

    /// The answer for `key`: one that `keep` allows to be used again, or what `ask` says. A failure is told to all who
    /// wait for it and then forgotten.
    ///
    /// # Errors
    /// Those of `ask`.
    pub(crate) async fn get<F>(
        &self,
        key: &K,
        keep: impl Fn(&V) -> Duration,
        ask: impl Fn() -> F,
    ) -> Result<V>
    where
        F: Future<Output = Result<V>>,
    {
        loop {
            let Ok(slot) = self.slots.get_or_insert_with(key, || Ok::<_, Infallible>(Slot::default()));
            if slot.get().is_some_and(|answer| answer.until <= Instant::now()) {
                self.slots.remove_if(key, |current| Arc::ptr_eq(current, &slot));
                continue;
            }
            let make = || async {
                let result = ask().await;
                let kept = result.as_ref().map_or(Duration::ZERO, &keep);
                Answer { result, until: Instant::now() + kept }
            };
            return slot.get_or_init(make).await.result.clone();
        }
    }

    /// Forgets the answers to what `is_gone` names.
    pub(crate) fn forget(&self, is_gone: impl Fn(&K) -> bool) {
        self.slots.retain(|key, _| !is_gone(key));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use domain::Error;
    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn many_ask_once_and_a_failure_is_not_kept() {
        let (memory, asked) = (SingleFlightCache::<u8, usize>::new(10), AtomicUsize::new(0));
        let ask = || async {
            let nth = asked.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_millis(20)).await;
            if nth == 0 { Err(Error::unavailable("iam", "test")) } else { Ok(nth) }
        };
        let failed = join_all((0..50).map(|_| memory.get(&1, |_| LONG, ask))).await;
        assert!(failed.iter().all(Result::is_err), "they waited for the same answer");
        let answered = join_all((0..50).map(|_| memory.get(&1, |_| LONG, ask))).await;
        assert!(answered.iter().all(|answer| *answer.as_ref().unwrap() == 1));
        assert_eq!(memory.get(&2, |_| Duration::ZERO, ask).await.unwrap(), 2);
        assert_eq!(memory.get(&2, |_| Duration::ZERO, ask).await.unwrap(), 3, "not to be kept");
    }

    #[tokio::test]
    async fn what_is_forgotten_while_it_is_asked_for_is_asked_for_anew() {
        let (memory, asked) = (SingleFlightCache::<u8, usize>::new(10), AtomicUsize::new(0));
        let ask = || async {
            let nth = asked.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_millis(50)).await;
            Ok(nth)
        };
        let (first, second) = tokio::join!(memory.get(&1, |_| LONG, ask), async {
            sleep(Duration::from_millis(10)).await;
            memory.forget(|key| *key == 1);
            memory.get(&1, |_| LONG, ask).await
        });
        assert_eq!((first.unwrap(), second.unwrap()), (0, 1));
        assert_eq!(memory.get(&1, |_| LONG, ask).await.unwrap(), 1, "the stale answer was not put back");
    }
}
