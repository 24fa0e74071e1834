//! Token buckets, which allow a burst of requests and a sustained rate.

use std::{
    convert::Infallible,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::http::header::HeaderValue;
use quick_cache::sync::Cache;

/// A bucket: its tokens at a point in time.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Buckets by key. Their number is limited: the least recently used ones are dropped, and a new bucket is full, as the
/// dropped one would be by then.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    name: &'static str,
    per_second: f64,
    burst: f64,
    buckets: Cache<K, Arc<Mutex<Bucket>>>,
}

/// The result of a request for a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RateDecision {
    name: &'static str,
    burst: f64,
    per_second: f64,
    /// The remaining tokens.
    tokens: f64,
    /// The time until the next token, if there was none.
    pub(crate) wait: Option<Duration>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Creates up to about `capacity` buckets. Returns `None` if a number is zero, which means no limit.
    pub(crate) fn new(name: &'static str, per_second: f64, burst: u32, capacity: usize) -> Option<Self> {
        (per_second > 0.0 && burst > 0).then(|| Self {
            name,
            per_second,
            burst: f64::from(burst),
            buckets: Cache::new(capacity),
        })
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&self, key: &K, now: Instant) -> RateDecision {
        self.with(key, 1.0, now)
    }

    /// Checks for a token without taking it.
    pub(crate) fn peek(&self, key: &K, now: Instant) -> RateDecision {
        self.with(key, 0.0, now)
    }

    /// Returns a token that was taken unnecessarily.
    pub(crate) fn refund(&self, key: &K) {
        if let Some(bucket) = self.buckets.get(key) {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.tokens = (bucket.tokens + 1.0).min(self.burst);
        }
    }

    fn with(&self, key: &K, taken: f64, now: Instant) -> RateDecision {
        let full = || Ok::<_, Infallible>(Arc::new(Mutex::new(Bucket { tokens: self.burst, at: now })));
        let Ok(bucket) = self.buckets.get_or_insert_with(key, full);
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        // The thread that read the clock first may get the lock second, so `now` may be before `bucket.at`.
        let grown = now.saturating_duration_since(bucket.at).as_secs_f64() * self.per_second;
        bucket.tokens = (bucket.tokens + grown).min(self.burst);
        bucket.at = bucket.at.max(now);
        let wait = if bucket.tokens >= 1.0 {
            bucket.tokens -= taken;
            None
        } else {
            Some(Duration::from_secs_f64((1.0 - bucket.tokens) / self.per_second))
        };
        RateDecision {
            name: self.name,
            burst: self.burst,
            per_second: self.per_second,
            tokens: bucket.tokens,
            wait,
        }
    }
}

impl RateDecision {
    /// Returns the value of `RateLimit-Policy`: the number of requests per number of seconds.
    pub(crate) fn policy(&self) -> Option<HeaderValue> {
        let window = (self.burst / self.per_second).ceil().max(1.0);
        HeaderValue::from_str(&format!("\"{}\";q={};w={window}", self.name, self.burst)).ok()
    }

    /// Returns the value of `RateLimit`: the remaining requests, and the seconds until the bucket is full again.
    pub(crate) fn state(&self) -> Option<HeaderValue> {
        let (left, full) = (self.tokens.floor(), ((self.burst - self.tokens) / self.per_second).ceil());
        HeaderValue::from_str(&format!("\"{}\";r={left};t={full}", self.name)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_passes_and_then_the_sustained_rate() {
        let buckets = Buckets::new("caller", 20.0, 3, 10).unwrap();
        let now = Instant::now();
        let passes = |key: u8, at: Instant| buckets.take(&key, at).wait.is_none();
        assert!(passes(1, now) && passes(1, now) && passes(1, now) && !passes(1, now));
        assert!(passes(2, now), "each key has its own bucket");
        assert_eq!(buckets.take(&1, now).wait, Some(Duration::from_millis(50)));
        assert!(!passes(1, now + Duration::from_millis(49)), "a token is added every 50 ms");
        let later = now + Duration::from_millis(60);
        assert!(buckets.peek(&1, later).wait.is_none() && passes(1, later) && !passes(1, later));
        assert!(!passes(1, now), "an earlier time adds nothing");
        let much_later = now + Duration::from_secs(60);
        assert!(passes(1, much_later) && passes(1, much_later) && passes(1, much_later));
        assert!(!passes(1, much_later), "a bucket holds no more than the burst");
    }

    #[test]
    fn zero_means_no_limit() {
        assert!(Buckets::<u8>::new("caller", 0.0, 3, 10).is_none());
        assert!(Buckets::<u8>::new("caller", 3.0, 0, 10).is_none());
    }

    #[test]
    fn headers_contain_the_policy_and_the_remaining_requests() {
        let buckets = Buckets::new("caller", 2.0, 5, 10).unwrap();
        let now = Instant::now();
        buckets.take(&1, now);
        let taken = buckets.take(&1, now);
        assert_eq!(taken.policy().unwrap(), "\"caller\";q=5;w=3");
        assert_eq!(taken.state().unwrap(), "\"caller\";r=3;t=1");
    }

    #[test]
    fn number_of_buckets_is_bounded() {
        let buckets = Buckets::new("address", 1.0, 1, 100).unwrap();
        for key in 0..10_000 {
            buckets.take(&key, Instant::now());
        }
        assert!(buckets.buckets.len() <= 200, "{}", buckets.buckets.len());
    }
}
