//! Queues without a list: each arrival gets a time and waits for it.

use std::{
    convert::Infallible,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;

/// Queues by key, each of which lets one arrival pass per `interval`. Their number is limited.
#[derive(Debug)]
pub(super) struct Queues<K> {
    interval: Duration,
    /// The next free time of each queue.
    free_at: Cache<K, Arc<Mutex<Instant>>>,
}

impl<K: Hash + Eq + Clone> Queues<K> {
    /// Creates up to about `capacity` queues.
    pub(super) fn new(interval: Duration, capacity: usize) -> Self {
        Self { interval, free_at: Cache::new(capacity) }
    }

    /// Joins a queue and returns the time to wait; `None`, without joining, if that exceeds `max_wait`.
    pub(super) fn join(&self, key: &K, max_wait: Duration, now: Instant) -> Option<Duration> {
        let Ok(free_at) =
            self.free_at.get_or_insert_with(key, || Ok::<_, Infallible>(Arc::new(Mutex::new(now))));
        let mut free_at = free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = (*free_at).max(now);
        let wait = at - now;
        if wait > max_wait {
            return None;
        }
        *free_at = at + self.interval;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_grows_with_the_queue_up_to_a_limit() {
        let queues = Queues::new(Duration::from_millis(100), 10);
        let now = Instant::now();
        let join_at = |key: u8, max_wait: u64, after: u64| {
            let wait = queues.join(&key, Duration::from_millis(max_wait), now + Duration::from_millis(after));
            wait.map(|wait| wait.as_millis())
        };
        let join = |key: u8, max_wait: u64| join_at(key, max_wait, 0);
        assert_eq!(join(1, 0), Some(0));
        assert_eq!([join(1, 250), join(1, 250)], [Some(100), Some(200)]);
        assert_eq!(join(1, 250), None, "the wait exceeds the limit");
        assert_eq!(join(1, 350), Some(300), "the rejected arrival did not join the queue");
        assert_eq!(join_at(1, 350, 150), Some(250), "time that has passed shortens the wait");
        assert_eq!(join(2, 0), Some(0), "each key has its own queue");
    }
}
