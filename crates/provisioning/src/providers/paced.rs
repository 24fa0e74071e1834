//! A provider that is left alone when it asks to be.
//!
//! A provider lets so many calls through in a time, and says of those beyond when to come back. Were each caller to find
//! that out for itself, most calls would be refusals, and after the pause all would come at once. So a refusal tells the
//! whole process how fast to call: as many as were let through in the last second, each in its turn, and from there on a
//! little faster until the next refusal.

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

/// How long a call waits for its turn, and is made again, before its refusal is told: less than a step may take, so that
/// a longer pause is the saga's, which holds on to nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is let through is counted over this time.
const SECOND: Duration = Duration::from_secs(1);
/// By how much faster each call that is let through has the next ones come: at a hundred calls in a second, a tenth in
/// every second.
const FASTER: f64 = 1.001;

/// Another provider, called at its own pace.
pub struct PacedProvider {
    provider: Arc<dyn Provider>,
    pace: Mutex<Pace>,
}

/// How fast calls may come.
#[derive(Debug)]
struct Pace {
    /// The turn of the next call.
    next: Instant,
    /// Calls in a second; as many as come, as long as none was refused.
    rate: Option<f64>,
    /// When calls were made during the last second that were not refused, or not yet.
    made: VecDeque<Instant>,
}

impl Pace {
    /// Takes the next turn, unless it is later than `latest`: then it tells how much time is until it.
    fn turn(&mut self, now: Instant, latest: Instant) -> Result<Instant, Duration> {
        let turn = self.next.max(now);
        if turn > latest {
            return Err(turn - now);
        }
        let pause = self.rate.map_or(0.0, f64::recip);
        self.next = turn + Duration::from_secs_f64(pause);
        Ok(turn)
    }

    fn made(&mut self, now: Instant) {
        while self.made.front().is_some_and(|at| now.duration_since(*at) >= SECOND) {
            self.made.pop_front();
        }
        self.made.push_back(now);
    }

    fn passed(&mut self) {
        self.rate = self.rate.map(|rate| rate * FASTER);
    }

    fn refused(&mut self, now: Instant, retry_after: Duration) {
        self.made.pop_back();
        let passed = u32::try_from(self.made.len()).unwrap_or(u32::MAX);
        self.rate = Some(f64::from(passed.max(1)));
        self.next = self.next.max(now + retry_after);
    }
}

impl PacedProvider {
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        let pace = Pace { next: Instant::now(), rate: None, made: VecDeque::new() };
        Self { provider, pace: Mutex::new(pace) }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call<T, F>(&self, call: impl Fn() -> F) -> Result<T, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>> + Send,
    {
        let latest = Instant::now() + PATIENCE;
        loop {
            let turn = self.pace().turn(Instant::now(), latest).map_err(|pause| {
                ProviderError::rate_limited(pause, "the provider lets no more calls through")
            })?;
            tokio::time::sleep_until(turn).await;
            self.pace().made(Instant::now());
            let answer = call().await;
            let Err(ProviderError { kind: ErrorKind::RateLimited { retry_after }, .. }) = &answer else {
                self.pace().passed();
                return answer;
            };
            let now = Instant::now();
            self.pace().refused(now, *retry_after);
            if now + *retry_after > latest {
                return answer;
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
    fn a_refusal_sets_the_pace_to_what_was_let_through() {
        let (start, far) = (Instant::now(), Duration::from_secs(100));
        let mut pace = Pace { next: start, rate: None, made: VecDeque::new() };
        for _ in 0..50 {
            assert_eq!(pace.turn(start, start + far), Ok(start), "no pause is made up");
            pace.made(start);
            pace.passed();
        }
        pace.made(start);
        pace.refused(start, Duration::from_millis(300));
        let first = pace.turn(start, start + far).unwrap();
        let second = pace.turn(start, start + far).unwrap();
        assert_eq!((first - start, second - first), (Duration::from_millis(300), Duration::from_millis(20)));
        assert_eq!(pace.turn(start, start), Err(Duration::from_millis(340)), "a turn that is not taken");
        assert_eq!(
            pace.turn(start, start + far).unwrap() - start,
            Duration::from_millis(340),
            "is the next one's"
        );
    }
}
