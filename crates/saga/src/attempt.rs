//! A single attempt of a step, and the rules for retrying it.

use std::{panic::AssertUnwindSafe, time::Duration};

use domain::{Error, Kind, Result};
use futures_util::FutureExt;
use runtime::backoff::Backoff;
use serde_json::Value;

use crate::{
    AnyStep, AttemptResult, Fault, InjectionPoint, Policy, Progress, Saga, StepCx, StepPhase,
    direction::Direction, runner::Inner, store::replace_nul,
};

/// The result of an attempt: progress, or `None` when the step is undone. An undo either waits or is done.
pub(crate) type Outcome = Result<Option<Progress<Value>>>;

/// One attempt to run or undo a step.
pub(crate) struct Attempt<'d, A> {
    pub(crate) inner: &'d Inner<A>,
    pub(crate) step: &'d dyn AnyStep<A>,
    pub(crate) cx: StepCx,
    pub(crate) direction: Direction,
    /// The saga as the fault injector of a test sees it; `None` without one.
    pub(crate) saga: Option<Saga>,
}

impl<A: Send + Sync + 'static> Attempt<'_, A> {
    /// Makes the attempt, with any injected fault. Returns `None` when the injected fault is a crash of the runner.
    pub(crate) async fn run(self) -> Option<Outcome> {
        let timeout = self.step.policy().timeout;
        let outcome = match self.inject(StepPhase::AfterIntent, None) {
            Fault::Crash => return None,
            Fault::Fail(error) => Err(error),
            Fault::None => self.once(timeout).await,
            Fault::RunTwice => {
                let _first = self.once(timeout).await;
                self.once(timeout).await
            }
            Fault::TimeOut(after) => {
                let _late = self.once(after).await;
                within(Duration::ZERO, std::future::pending()).await
            }
        };
        match self.inject(StepPhase::AfterEffect, Some(AttemptResult::from_outcome(&outcome))) {
            Fault::Crash => None,
            Fault::Fail(error) => Some(Err(error)),
            Fault::None | Fault::RunTwice | Fault::TimeOut(_) => Some(outcome),
        }
    }

    async fn once(&self, timeout: Duration) -> Outcome {
        let Self { inner: Inner { app, .. }, step, cx, direction, .. } = self;
        let work = async {
            match direction {
                Direction::Forward => step.run(app, cx).await.map(Some),
                Direction::Compensate => Ok(step.undo(app, cx).await?.map(Progress::Waiting)),
            }
        };
        within(timeout, work).await
    }

    fn inject(&self, phase: StepPhase, result: Option<AttemptResult>) -> Fault {
        let Some(saga) = &self.saga else { return Fault::None };
        let (step, undo) = (self.step.name(), self.direction == Direction::Compensate);
        self.inner.inject(InjectionPoint { saga, step, undo, phase, result })
    }
}

/// Runs `work` with a time limit. A hang or a panic is a transient failure: it must neither block the saga nor be
/// retried without being counted.
async fn within<T>(time: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(time, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let message = panic.downcast_ref::<&str>().map(ToString::to_string);
            let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Error::internal(format!("The step panicked: {message}")))
        }
        Err(_) => {
            let message = format!("The step took longer than {} s.", time.as_secs_f32());
            Err(Error::new(Kind::GatewayTimeout, message))
        }
    }
}

/// Turns an output that PostgreSQL cannot store into a failure of the step; otherwise the write would fail forever.
pub(crate) fn storable_output(progress: Option<Progress<Value>>) -> Outcome {
    match &progress {
        Some(Progress::Done(output)) if has_nul(output) => {
            Err(Error::internal("the output contains a NUL character, which PostgreSQL cannot store"))
        }
        _ => Ok(progress),
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// The code and public message of an error, for the step's row.
pub(crate) fn public_error(error: &Error) -> String {
    replace_nul(&format!("{}: {}", error.kind(), error.message()))
}

/// Returns true if the other service was unreachable, limited the rate of calls, or did not accept this service's
/// identity. An outage passes, however long it takes, and does not count against the step.
pub(crate) fn is_outage(error: &Error) -> bool {
    matches!(error.kind(), Kind::ServiceUnavailable | Kind::RateLimited | Kind::Unauthorized)
}

/// Returns true if a step that failed with `error` is retried. `attempts` excludes those that met an outage.
pub(crate) fn will_retry(error: &Error, attempts: i32, policy: Policy) -> bool {
    is_outage(error) || (error.kind().is_transient() && attempts < policy.attempts)
}

/// The pause before the next attempt: the requested `retryAfterSeconds` plus a random backoff, so that the callers do
/// not all return at once.
pub(crate) fn pause_after(policy: Policy, attempts: i32, error: &Error) -> Duration {
    let requested = error.details().get("retryAfterSeconds").and_then(Value::as_u64).unwrap_or_default();
    Duration::from_secs(requested).saturating_add(backoff(policy, attempts))
}

fn backoff(policy: Policy, attempts: i32) -> Duration {
    Backoff::new(policy.pause, policy.max_pause).pause(u32::try_from(attempts).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requested_pause_is_respected() {
        let policy = Policy { pause: Duration::from_millis(1), ..Policy::default() };
        let limited = Error::new(Kind::RateLimited, "too many calls").with("retryAfterSeconds", 7);
        let (pause, longest) = (pause_after(policy, 1, &limited), Duration::from_millis(7_001));
        assert!(pause >= Duration::from_secs(7) && pause <= longest, "{pause:?}");
        let transient = Error::new(Kind::Upstream, "not now");
        assert!(pause_after(policy, 1, &transient) <= policy.pause);
        assert!(is_outage(&limited) && !is_outage(&transient));
    }

    #[test]
    fn pauses_grow_to_their_limit() {
        let policy = Policy::default();
        for attempts in [1, 2, 5, 100, i32::MAX] {
            assert!(backoff(policy, attempts) <= policy.max_pause);
        }
        let longest = |attempts| (0..200).map(|_| backoff(policy, attempts)).max().unwrap();
        assert!(
            longest(1) <= policy.pause && longest(4) > policy.pause,
            "the limit doubles after each attempt"
        );
    }
}
