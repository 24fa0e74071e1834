//! One try of a step, and what is made of how it ended.

use std::{panic::AssertUnwindSafe, time::Duration};

use domain::{Error, Kind, Result};
use futures_util::FutureExt;
use runtime::backoff::Backoff;
use serde_json::Value;

use crate::{
    AnyStep, Moment, Point, Policy, Progress, Saga, StepCx, Tried, Verdict, outcome::Way, runner::Inner,
    store::storable,
};

/// The result of a try: progress, or `None` when the step is undone. Going back, the only progress is to wait.
pub(crate) type Outcome = Result<Option<Progress<Value>>>;

/// One try of a step, forth or back.
pub(crate) struct Try<'d, A> {
    pub(crate) inner: &'d Inner<A>,
    pub(crate) step: &'d dyn AnyStep<A>,
    pub(crate) cx: StepCx,
    pub(crate) way: Way,
    /// For the test that interferes, if one does.
    pub(crate) saga: Option<Saga>,
}

impl<A: Send + Sync + 'static> Try<'_, A> {
    /// Tries, with what a test makes of it; nothing when the test killed the runner.
    pub(crate) async fn run(self) -> Option<Outcome> {
        let timeout = self.step.policy().timeout;
        let outcome = match self.meet(Point::AfterIntent, None) {
            Verdict::Die => return None,
            Verdict::Fail(error) => Err(error),
            Verdict::Go => self.once(timeout).await,
            Verdict::Twice => {
                let _first = self.once(timeout).await;
                self.once(timeout).await
            }
            Verdict::TimeOut(after) => {
                let _late = self.once(after).await;
                within(Duration::ZERO, std::future::pending()).await
            }
        };
        match self.meet(Point::AfterEffect, Some(Tried::of(&outcome))) {
            Verdict::Die => None,
            Verdict::Fail(error) => Some(Err(error)),
            Verdict::Go | Verdict::Twice | Verdict::TimeOut(_) => Some(outcome),
        }
    }

    async fn once(&self, timeout: Duration) -> Outcome {
        let Self { inner: Inner { app, .. }, step, cx, way, .. } = self;
        let work = async {
            match way {
                Way::Forth => step.run(app, cx).await.map(Some),
                Way::Back => Ok(step.undo(app, cx).await?.map(Progress::Waiting)),
            }
        };
        within(timeout, work).await
    }

    fn meet(&self, point: Point, tried: Option<Tried>) -> Verdict {
        let Some(saga) = &self.saga else { return Verdict::Go };
        let (step, undo) = (self.step.name(), self.way == Way::Back);
        self.inner.meet(Moment { saga, step, undo, point, tried })
    }
}

/// A step that hangs or panics has failed for now: it must not hold the saga, nor be run again for ever, uncounted.
async fn within<T>(time: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(time, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let said = panic.downcast_ref::<&str>().map(ToString::to_string);
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Error::internal(format!("it panicked: {said}")))
        }
        Err(_) => {
            Err(Error::new(Kind::GatewayTimeout, format!("it took longer than {} s", time.as_secs_f32())))
        }
    }
}

/// An output that no row can hold is a failure of the step; else the write would fail for ever.
pub(crate) fn storable_output(progress: Option<Progress<Value>>) -> Outcome {
    match &progress {
        Some(Progress::Done(output)) if has_nul(output) => {
            Err(Error::internal("the output has a NUL character, which a row cannot hold"))
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

/// What a person is told of an error in a step: the code and the message that a client may see.
pub(crate) fn told(error: &Error) -> String {
    storable(&format!("{}: {}", error.kind(), error.message()))
}

/// Whether the other side was not there, asked to be left alone for a while, or did not accept the identity of this
/// service: that passes, however long it takes, and says nothing of the step.
pub(crate) fn is_outage(error: &Error) -> bool {
    matches!(error.kind(), Kind::ServiceUnavailable | Kind::RateLimited | Kind::Unauthorized)
}

/// Whether a step that failed with `error`, after so many tries that met no outage, is tried again.
pub(crate) fn is_tried_again(error: &Error, tries: i32, policy: Policy) -> bool {
    is_outage(error) || (error.kind().is_transient() && tries < policy.attempts)
}

/// The pause before the next try: on top of what the other side asks for, so that not all come back at once.
pub(crate) fn pause_after(policy: Policy, tries: i32, error: &Error) -> Duration {
    let asked = error.details().get("retryAfterSeconds").and_then(Value::as_u64).unwrap_or_default();
    Duration::from_secs(asked).saturating_add(backoff(policy, tries))
}

fn backoff(policy: Policy, tries: i32) -> Duration {
    Backoff::new(policy.pause, policy.max_pause).pause(u32::try_from(tries).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_to_be_left_alone_is() {
        let policy = Policy { pause: Duration::from_millis(1), ..Policy::default() };
        let asked = Error::new(Kind::RateLimited, "too many calls").with("retryAfterSeconds", 7);
        let (pause, longest) = (pause_after(policy, 1, &asked), Duration::from_millis(7_001));
        assert!(pause >= Duration::from_secs(7) && pause <= longest, "{pause:?}");
        let passing = Error::new(Kind::Upstream, "not now");
        assert!(pause_after(policy, 1, &passing) <= policy.pause);
        assert!(is_outage(&asked) && !is_outage(&passing));
    }

    #[test]
    fn pauses_grow_to_their_limit() {
        let policy = Policy::default();
        for tries in [1, 2, 5, 100, i32::MAX] {
            assert!(backoff(policy, tries) <= policy.max_pause);
        }
        let most = |tries| (0..200).map(|_| backoff(policy, tries)).max().unwrap();
        assert!(most(1) <= policy.pause && most(4) > policy.pause, "up to twice as long after each try");
    }
}
