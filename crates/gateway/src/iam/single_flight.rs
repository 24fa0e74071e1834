//! A cache that loads each value once, even for concurrent requests.

use std::{
    convert::Infallible,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::Result;
use quick_cache::sync::Cache;
use tokio::sync::OnceCell;

/// A cached value. The first request loads it and the others wait.
type Slot<V> = Arc<OnceCell<Entry<V>>>;

#[derive(Debug)]
struct Entry<V> {
    result: Result<V>,
    expires_at: Instant,
}

/// A cache that loads each value once. A value that is removed while it is loaded is not returned to later requests.
#[derive(Debug)]
pub(crate) struct SingleFlightCache<K, V> {
    slots: Cache<K, Slot<V>>,
}

impl<K: Hash + Eq + Clone, V: Clone> SingleFlightCache<K, V> {
    /// Creates a cache of up to about `capacity` values.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { slots: Cache::new(capacity) }
    }

    /// Returns the cached value for `key`, or loads it with `load` and caches it for the time that `ttl` returns. A
    /// failure is returned to all requests that wait for it and is not cached.
    ///
    /// # Errors
    /// Those of `load`.
    pub(crate) async fn get<F>(
        &self,
        key: &K,
        ttl: impl Fn(&V) -> Duration,
        load: impl Fn() -> F,
    ) -> Result<V>
    where
        F: Future<Output = Result<V>>,
    {
        loop {
            let Ok(slot) = self.slots.get_or_insert_with(key, || Ok::<_, Infallible>(Slot::default()));
            if slot.get().is_some_and(|entry| entry.expires_at <= Instant::now()) {
                self.slots.remove_if(key, |current| Arc::ptr_eq(current, &slot));
                continue;
            }
            let create = || async {
                let result = load().await;
                let ttl = result.as_ref().map_or(Duration::ZERO, &ttl);
                Entry { result, expires_at: Instant::now() + ttl }
            };
            return slot.get_or_init(create).await.result.clone();
        }
    }

    /// Removes the values whose keys match.
    pub(crate) fn remove(&self, matches: impl Fn(&K) -> bool) {
        self.slots.retain(|key, _| !matches(key));
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
    async fn concurrent_requests_load_once_and_failures_are_not_cached() {
        let (cache, loads) = (SingleFlightCache::<u8, usize>::new(10), AtomicUsize::new(0));
        let load = || async {
            let nth = loads.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_millis(20)).await;
            if nth == 0 { Err(Error::unavailable("iam", "test")) } else { Ok(nth) }
        };
        let failed = join_all((0..50).map(|_| cache.get(&1, |_| LONG, load))).await;
        assert!(failed.iter().all(Result::is_err), "all requests waited for the same load");
        let loaded = join_all((0..50).map(|_| cache.get(&1, |_| LONG, load))).await;
        assert!(loaded.iter().all(|value| *value.as_ref().unwrap() == 1));
        assert_eq!(cache.get(&2, |_| Duration::ZERO, load).await.unwrap(), 2);
        assert_eq!(cache.get(&2, |_| Duration::ZERO, load).await.unwrap(), 3, "the value must not be cached");
    }

    #[tokio::test]
    async fn value_removed_while_loading_is_loaded_again() {
        let (cache, loads) = (SingleFlightCache::<u8, usize>::new(10), AtomicUsize::new(0));
        let load = || async {
            let nth = loads.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_millis(50)).await;
            Ok(nth)
        };
        let (first, second) = tokio::join!(cache.get(&1, |_| LONG, load), async {
            sleep(Duration::from_millis(10)).await;
            cache.remove(|key| *key == 1);
            cache.get(&1, |_| LONG, load).await
        });
        assert_eq!((first.unwrap(), second.unwrap()), (0, 1));
        assert_eq!(cache.get(&1, |_| LONG, load).await.unwrap(), 1, "the stale value was not cached");
    }
}
