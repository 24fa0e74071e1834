//! Queues without a list: who comes gets a time, and waits for it.

use std::{
    convert::Infallible,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;

/// Queues by whom they are of, each of which lets one pass per `pace`. There are never more than about `most`.
#[derive(Debug)]
pub(super) struct Queues<K> {
    pace: Duration,
    /// The first time that is free.
    free_at: Cache<K, Arc<Mutex<Instant>>>,
}

impl<K: Hash + Eq + Clone> Queues<K> {
    pub(super) fn new(pace: Duration, most: usize) -> Self {
        Self { pace, free_at: Cache::new(most) }
    }

    /// Joins a queue: how long to wait in it. None if that is longer than `most`.
    pub(super) fn join(&self, key: &K, most: Duration, now: Instant) -> Option<Duration> {
        let Ok(free_at) =
            self.free_at.get_or_insert_with(key, || Ok::<_, Infallible>(Arc::new(Mutex::new(now))));
        let mut free_at = free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = (*free_at).max(now);
        let wait = at - now;
        if wait > most {
            return None;
        }
        *free_at = at + self.pace;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_for_those_before_it_and_not_for_long() {
        let queues = Queues::new(Duration::from_millis(100), 10);
        let now = Instant::now();
        let join_at = |key: u8, most: u64, after: u64| {
            let wait = queues.join(&key, Duration::from_millis(most), now + Duration::from_millis(after));
            wait.map(|wait| wait.as_millis())
        };
        let join = |key: u8, most: u64| join_at(key, most, 0);
        assert_eq!(join(1, 0), Some(0));
        assert_eq!([join(1, 250), join(1, 250)], [Some(100), Some(200)]);
        assert_eq!(join(1, 250), None, "who does not wait takes no place");
        assert_eq!(join(1, 350), Some(300), "others are more patient");
        assert_eq!(join_at(1, 350, 150), Some(250), "time that has passed shortens the wait");
        assert_eq!(join(2, 0), Some(0), "another queue");
    }
}
