//! Circuit breakers, which reject requests to a service that cannot be reached.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{Error, Result};
use opentelemetry::KeyValue;
use runtime::{Probe, telemetry};

use crate::upstream::Upstream;

/// Number of consecutive failures that opens a breaker.
const FAILURES: u32 = 5;
/// The first pause of an open breaker. Each failed trial doubles it.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// All requests pass.
    Closed { failures: u32 },
    /// No request passes until `until`.
    Open { until: Instant, pause: Duration },
    /// A single request tests the service.
    HalfOpen { since: Instant, pause: Duration },
}

/// The breaker of one service.
#[derive(Debug)]
pub(crate) struct Breaker {
    name: &'static str,
    state: Mutex<State>,
}

/// A request that the breaker let through. Its outcome should be reported; a permit that is dropped does not count.
#[derive(Debug)]
pub(crate) struct CircuitPermit {
    breaker: Arc<Breaker>,
    is_trial: bool,
}

impl Breaker {
    fn new(name: &'static str) -> Self {
        Self { name, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// Lets a request through unless the breaker is open.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`], with the time after which to retry.
    fn pass(self: &Arc<Self>, now: Instant) -> Result<CircuitPermit> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_trial = match *state {
            State::Closed { .. } => false,
            State::Open { until, pause } if until <= now => {
                *state = State::HalfOpen { since: now, pause };
                true
            }
            State::Open { until, .. } => return Err(self.rejection(until - now)),
            State::HalfOpen { .. } => return Err(self.rejection(PAUSE)),
        };
        drop(state);
        Ok(CircuitPermit { breaker: Arc::clone(self), is_trial })
    }

    fn rejection(&self, wait: Duration) -> Error {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Error::service_unavailable(self.name, "its circuit is open").with("retryAfterSeconds", seconds.max(1))
    }

    fn change(&self, to: impl FnOnce(State) -> State) {
        let (before, after) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let before = *state;
            *state = to(before);
            (before, *state)
        };
        let is_open = |state| !matches!(state, State::Closed { .. });
        if is_open(before) != is_open(after) {
            let labels = [KeyValue::new("upstream", self.name)];
            telemetry::gauge("gateway.upstream.circuit_open", &labels, u64::from(is_open(after)));
            if is_open(after) {
                tracing::warn!(upstream = self.name, "opened the circuit breaker");
            } else {
                tracing::info!(upstream = self.name, "closed the circuit breaker");
            }
        }
    }

    fn is_open(&self) -> bool {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(state, State::Closed { .. })
    }
}

impl CircuitPermit {
    /// Reports that the service responded, with any status.
    pub(crate) fn succeeded(self) {
        self.breaker.change(|_| State::Closed { failures: 0 });
    }

    /// Reports that the service could not be reached or did not respond in time.
    pub(crate) fn failed(self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(self, now: Instant) {
        let is_trial = self.is_trial;
        let open = |pause| State::Open { until: now + pause, pause };
        self.breaker.change(|state| match state {
            State::HalfOpen { pause, .. } if is_trial => open((pause * 2).min(MAX_PAUSE)),
            State::Closed { failures } if failures + 1 >= FAILURES => open(PAUSE),
            State::Closed { failures } => State::Closed { failures: failures + 1 },
            other => other,
        });
    }
}

impl Drop for CircuitPermit {
    fn drop(&mut self) {
        if self.is_trial {
            // The trial has no outcome, so the next request is a trial.
            self.breaker.change(|state| match state {
                State::HalfOpen { since, pause } => State::Open { until: since, pause },
                other => other,
            });
        }
    }
}

/// The breakers of all services.
#[derive(Debug, Clone)]
pub(crate) struct Breakers(Arc<HashMap<Upstream, Arc<Breaker>>>);

impl Breakers {
    pub(crate) fn new() -> Self {
        let breaker = |upstream: Upstream| (upstream, Arc::new(Breaker::new(upstream.name())));
        Self(Arc::new(Upstream::ALL.into_iter().map(breaker).collect()))
    }

    /// Lets a request to a service through unless its breaker is open.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`], with the time after which to retry.
    pub(crate) fn pass(&self, upstream: Upstream) -> Result<CircuitPermit> {
        let breaker = self.0.get(&upstream).ok_or_else(|| Error::internal("a service without breaker"))?;
        breaker.pass(Instant::now())
    }

    /// Closes the breaker of a service whose address has changed.
    pub(crate) fn reset(&self, upstream: Upstream) {
        if let Some(breaker) = self.0.get(&upstream) {
            breaker.change(|_| State::Closed { failures: 0 });
        }
    }

    /// Returns a probe that reports open breakers at `/ready`. It is optional, because other probes check the services.
    pub(crate) fn probe(&self) -> Probe {
        let breakers = self.clone();
        Probe::optional("circuits", move || {
            let open: Vec<&str> =
                Upstream::ALL.into_iter().filter(|of| breakers.is_open(*of)).map(Upstream::name).collect();
            let result = if open.is_empty() { Ok(()) } else { Err(format!("open: {}", open.join(", "))) };
            Box::pin(async move { result })
        })
    }

    fn is_open(&self, upstream: Upstream) -> bool {
        self.0.get(&upstream).is_some_and(|breaker| breaker.is_open())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(error: &Error) -> u64 {
        error.details()["retryAfterSeconds"].as_u64().unwrap()
    }

    #[test]
    fn breaker_opens_allows_one_trial_and_closes() {
        let (breaker, mut now) = (Arc::new(Breaker::new("registry")), Instant::now());
        for _ in 0..4 {
            breaker.pass(now).unwrap().failed_at(now);
        }
        breaker.pass(now).unwrap().succeeded();
        for _ in 0..5 {
            assert!(!breaker.is_open());
            breaker.pass(now).unwrap().failed_at(now);
        }
        assert_eq!(wait(&breaker.pass(now).unwrap_err()), 1);
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            now += Duration::from_millis(pause * 1000 - 1);
            assert_eq!(wait(&breaker.pass(now).unwrap_err()), 1);
            now += Duration::from_millis(1);
            let first = breaker.pass(now).unwrap();
            assert!(breaker.pass(now).is_err(), "only one request is the trial");
            first.failed_at(now);
        }
        now += Duration::from_secs(30);
        drop(breaker.pass(now).unwrap());
        breaker.pass(now).unwrap().succeeded();
        assert!(!breaker.is_open() && breaker.pass(now).is_ok() && breaker.pass(now).is_ok());
    }
}
