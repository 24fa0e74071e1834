//! Circuit breakers: a service that cannot be reached is not waited for by each request anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{Error, Result};
use opentelemetry::KeyValue;
use runtime::{Probe, telemetry};

use crate::upstream::Upstream;

/// After how many failures in a row it opens.
const FAILURES: u32 = 5;
/// How long it stays open: at first, and at most. It doubles with each try that fails.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Everything passes.
    Closed { failures: u32 },
    /// Nothing passes until then.
    Open { until: Instant, pause: Duration },
    /// One request tries whether it is any better.
    Trying { since: Instant, pause: Duration },
}

/// The breaker of one service.
#[derive(Debug)]
pub(crate) struct Breaker {
    name: &'static str,
    state: Mutex<State>,
}

/// A request that was let through. What became of it is to be told; if it is not, it says nothing of the service.
#[derive(Debug)]
pub(crate) struct CircuitPermit {
    breaker: Arc<Breaker>,
    is_try: bool,
}

impl Breaker {
    fn new(name: &'static str) -> Self {
        Self { name, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// Lets a request through, if the service can be reached as far as is known.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`], with when to come back.
    fn pass(self: &Arc<Self>, now: Instant) -> Result<CircuitPermit> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_try = match *state {
            State::Closed { .. } => false,
            State::Open { until, pause } if until <= now => {
                *state = State::Trying { since: now, pause };
                true
            }
            State::Open { until, .. } => return Err(self.refusal(until - now)),
            State::Trying { .. } => return Err(self.refusal(PAUSE)),
        };
        drop(state);
        Ok(CircuitPermit { breaker: Arc::clone(self), is_try })
    }

    fn refusal(&self, wait: Duration) -> Error {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Error::unavailable(self.name, "its circuit is open").with("retryAfterSeconds", seconds.max(1))
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
                tracing::warn!(upstream = self.name, "the circuit is open: it is not asked for a while");
            } else {
                tracing::info!(upstream = self.name, "the circuit is closed again");
            }
        }
    }

    fn is_open(&self) -> bool {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(state, State::Closed { .. })
    }
}

impl CircuitPermit {
    /// The service answered, whatever it said.
    pub(crate) fn answered(self) {
        self.breaker.change(|_| State::Closed { failures: 0 });
    }

    /// The service could not be reached, or did not answer in time.
    pub(crate) fn failed(self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(self, now: Instant) {
        let is_try = self.is_try;
        let open = |pause| State::Open { until: now + pause, pause };
        self.breaker.change(|state| match state {
            State::Trying { pause, .. } if is_try => open((pause * 2).min(LONGEST_PAUSE)),
            State::Closed { failures } if failures + 1 >= FAILURES => open(PAUSE),
            State::Closed { failures } => State::Closed { failures: failures + 1 },
            other => other,
        });
    }
}

impl Drop for CircuitPermit {
    fn drop(&mut self) {
        if self.is_try {
            // Nothing was learned: the next request tries.
            self.breaker.change(|state| match state {
                State::Trying { since, pause } => State::Open { until: since, pause },
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

    /// Lets a request to a service through.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`], with when to come back.
    pub(crate) fn pass(&self, upstream: Upstream) -> Result<CircuitPermit> {
        let breaker = self.0.get(&upstream).ok_or_else(|| Error::internal("a service without breaker"))?;
        breaker.pass(Instant::now())
    }

    /// The service is at another address now: what was learned is of the old one.
    pub(crate) fn forget(&self, upstream: Upstream) {
        if let Some(breaker) = self.0.get(&upstream) {
            breaker.change(|_| State::Closed { failures: 0 });
        }
    }

    /// Tells at `/ready` which are open. That alone makes nothing unready: whether the services are, is asked too.
    pub(crate) fn probe(&self) -> Probe {
        let breakers = self.clone();
        Probe::optional("circuits", move || {
            let open: Vec<&str> =
                Upstream::ALL.into_iter().filter(|of| breakers.is_open(*of)).map(Upstream::name).collect();
            let told = if open.is_empty() { Ok(()) } else { Err(format!("open: {}", open.join(", "))) };
            Box::pin(async move { told })
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
    fn it_opens_tries_once_and_closes() {
        let (breaker, mut now) = (Arc::new(Breaker::new("registry")), Instant::now());
        for _ in 0..4 {
            breaker.pass(now).unwrap().failed_at(now);
        }
        breaker.pass(now).unwrap().answered();
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
            assert!(breaker.pass(now).is_err(), "one alone tries");
            first.failed_at(now);
        }
        now += Duration::from_secs(30);
        drop(breaker.pass(now).unwrap());
        breaker.pass(now).unwrap().answered();
        assert!(!breaker.is_open() && breaker.pass(now).is_ok() && breaker.pass(now).is_ok());
    }
}
