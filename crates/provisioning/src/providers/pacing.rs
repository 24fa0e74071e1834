//! Client-side pacing of calls to a provider with a rate limit.
//!
//! A provider accepts a limited rate of calls and rejects the others with a time to retry after. If each caller backed
//! off by itself, most calls would be rejected, and after the pause all would retry at once. Instead, a rejection sets
//! the rate of the whole process to the number of calls accepted in the last second. Each accepted call then raises the
//! rate a little, until the next rejection.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    DestroyOutcome, DomainCheck, ErrorKind, HostName, ObservedState, Owner, Provider, ProviderError, Target,
};

/// Maximum time for which a call waits and retries before it returns the rejection. Shorter than the time limit of a
/// step, so that longer pauses are those of the saga, which does not occupy a worker meanwhile.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Window in which accepted calls are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// Factor by which each accepted call raises the rate: at 100 calls per second, by about a tenth every second.
const RATE_INCREASE: f64 = 1.001;

/// Wrapper that calls another provider at the rate it accepts.
pub struct PacedProvider {
    provider: Arc<dyn Provider>,
    pace: Mutex<Pace>,
}

/// State of the rate limiter.
#[derive(Debug)]
struct Pace {
    /// Earliest time of the next call.
    next: Instant,
    /// Calls per second. `None`, which is unlimited, until the first rejection.
    rate: Option<f64>,
    /// Start times of the calls in the last second that were not rejected or are still in progress.
    started: VecDeque<Instant>,
}

impl Pace {
    /// Reserves the next slot and returns its time. Returns the time until the slot as an error, without reserving it,
    /// if it is later than `latest`.
    fn reserve(&mut self, now: Instant, latest: Instant) -> Result<Instant, Duration> {
        let slot = self.next.max(now);
        if slot > latest {
            return Err(slot - now);
        }
        let pause = self.rate.map_or(0.0, f64::recip);
        self.next = slot + Duration::from_secs_f64(pause);
        Ok(slot)
    }

    fn started(&mut self, now: Instant) {
        while self.started.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            self.started.pop_front();
        }
        self.started.push_back(now);
    }

    fn accepted(&mut self) {
        self.rate = self.rate.map(|rate| rate * RATE_INCREASE);
    }

    fn rejected(&mut self, now: Instant, retry_after: Duration) {
        self.started.pop_back();
        let accepted = u32::try_from(self.started.len()).unwrap_or(u32::MAX);
        self.rate = Some(f64::from(accepted.max(1)));
        self.next = self.next.max(now + retry_after);
    }
}

impl PacedProvider {
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        let pace = Pace { next: Instant::now(), rate: None, started: VecDeque::new() };
        Self { provider, pace: Mutex::new(pace) }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call<T, F>(&self, call: impl Fn() -> F) -> Result<T, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>> + Send,
    {
        let latest = Instant::now() + MAX_WAIT;
        loop {
            let slot = self.pace().reserve(Instant::now(), latest).map_err(|pause| {
                ProviderError::rate_limited(pause, "the rate limit of the provider is exhausted")
            })?;
            tokio::time::sleep_until(slot).await;
            self.pace().started(Instant::now());
            let result = call().await;
            let Err(ProviderError { kind: ErrorKind::RateLimited { retry_after }, .. }) = &result else {
                self.pace().accepted();
                return result;
            };
            let now = Instant::now();
            self.pace().rejected(now, *retry_after);
            if now + *retry_after > latest {
                return result;
            }
        }
    }
}

#[async_trait]
impl Provider for PacedProvider {
    async fn ensure(&self, target: &Target) -> Result<ObservedState, ProviderError> {
        self.call(|| self.provider.ensure(target)).await
    }

    async fn destroy(&self, target: &Target) -> Result<DestroyOutcome, ProviderError> {
        self.call(|| self.provider.destroy(target)).await
    }

    async fn observe(&self, target: &Target) -> Result<Option<ObservedState>, ProviderError> {
        self.call(|| self.provider.observe(target)).await
    }

    async fn verify_domain(
        &self,
        owner: &Owner,
        hostname: &HostName,
        target: &HostName,
    ) -> Result<DomainCheck, ProviderError> {
        self.call(|| self.provider.verify_domain(owner, hostname, target)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejection_sets_the_rate_to_the_accepted_calls() {
        let (start, far) = (Instant::now(), Duration::from_secs(100));
        let mut pace = Pace { next: start, rate: None, started: VecDeque::new() };
        for _ in 0..50 {
            assert_eq!(
                pace.reserve(start, start + far),
                Ok(start),
                "the rate is unlimited before a rejection"
            );
            pace.started(start);
            pace.accepted();
        }
        pace.started(start);
        pace.rejected(start, Duration::from_millis(300));
        let first = pace.reserve(start, start + far).unwrap();
        let second = pace.reserve(start, start + far).unwrap();
        assert_eq!((first - start, second - first), (Duration::from_millis(300), Duration::from_millis(20)));
        assert_eq!(pace.reserve(start, start), Err(Duration::from_millis(340)), "an expired reservation");
        assert_eq!(
            pace.reserve(start, start + far).unwrap() - start,
            Duration::from_millis(340),
            "leaves its slot to the next call"
        );
    }
}
