//! Definitions of sagas and their steps.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use chrono::DateTime;
use domain::{Error, Result};
use identity::Ctx;
use runtime::clock;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Wait, attempt,
    key::{AnyStep, StepKey, StepName},
};

/// The result of a successful attempt of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<T> {
    /// The step is done. Later steps and its undo can read the output.
    Done(T),
    /// The work is in progress elsewhere. The engine runs the step again later.
    Waiting(Wait),
    /// There was nothing to do, and no earlier attempt had an effect. The step is not undone.
    Skipped,
}

impl<T> Progress<T> {
    /// Maps the output.
    ///
    /// # Errors
    /// Those of `map`.
    pub(crate) fn try_map<U>(self, map: impl FnOnce(T) -> Result<U>) -> Result<Progress<U>> {
        Ok(match self {
            Self::Done(output) => Progress::Done(map(output)?),
            Self::Waiting(wait) => Progress::Waiting(wait),
            Self::Skipped => Progress::Skipped,
        })
    }
}

/// The retry policy of a step.
///
/// An attempt that ended with its process counts, but does not by itself make the step fail. Running a waiting step
/// again does not count. Nor does an attempt that met an outage ([`domain::Kind::ServiceUnavailable`]) or a rate limit
/// ([`domain::Kind::RateLimited`]): the engine retries the step until that is over, or until the saga's deadline.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The number of attempts after which a transient failure becomes permanent.
    pub attempts: i32,
    /// The base of the backoff: the pause after the n-th failure is random, up to `pause * 2^(n-1)`.
    pub pause: Duration,
    /// The longest pause.
    pub max_pause: Duration,
    /// The time limit of one attempt.
    pub timeout: Duration,
    /// The number of attempts to undo after which the saga is stuck.
    pub undo_attempts: i32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 10,
            pause: Duration::from_millis(200),
            max_pause: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            undo_attempts: 20,
        }
    }
}

/// A step of a saga. Running and undoing it must be idempotent at any point.
#[async_trait]
pub trait Step<A>: Send + Sync {
    /// The output, which is stored as JSON.
    type Output: Serialize + Send + 'static;

    /// Returns the key by which other steps read the output.
    fn key(&self) -> StepKey<Self::Output>;

    /// Runs the step. The engine retries a failure of a transient kind; any other failure is permanent. A panic counts
    /// as an internal error, which is transient.
    async fn run(&self, app: &A, cx: &StepCx) -> Result<Progress<Self::Output>>;

    /// Starts the work elsewhere that has to end before the step can be undone, and returns the wait for it, or `None`
    /// once that work has ended. The engine calls it again after each wait, and then calls `undo`. It fails as `undo`
    /// does.
    async fn before_undo(&self, _app: &A, _cx: &StepCx) -> Result<Option<Wait>> {
        Ok(None)
    }

    /// Undoes the step, even if it never took effect. The engine retries every failure up to the limit of the policy.
    async fn undo(&self, app: &A, cx: &StepCx) -> Result<()>;

    /// Returns true if the step is undone even if it never started, because another service waits for that report.
    fn undo_if_not_started(&self) -> bool {
        false
    }

    /// The earlier steps that must be done before this one and undone after it; `None` means all of them. Steps that do
    /// not depend on each other run concurrently.
    fn needs(&self) -> Option<&'static [StepName]> {
        None
    }

    /// The retry policy.
    fn policy(&self) -> Policy {
        Policy::default()
    }
}

/// The reaction to the permanent failure of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The saga is undone in reverse.
    Undo,
    /// The saga stops and waits for an operator to retry it.
    Stop,
}

/// A kind of saga.
pub struct Definition<A> {
    /// The name, stored in the saga's row.
    pub kind: &'static str,
    /// Must be increased when steps are added, removed or reordered. A version must stay registered as long as sagas
    /// that started under it are running.
    pub version: i32,
    /// The steps, in the order of running.
    pub steps: Vec<Box<dyn AnyStep<A>>>,
    pub on_failure: OnFailure,
}

impl<A> Definition<A> {
    /// Returns the outline.
    pub fn outline(&self) -> Outline {
        let steps = self.steps.iter().map(|step| step.name()).collect();
        Outline { kind: self.kind, version: self.version, steps, on_failure: self.on_failure }
    }

    /// Returns true if step `at` depends on step `other`, directly or through other steps.
    pub(crate) fn needs(&self, at: usize, other: usize) -> bool {
        let Some(step) = self.steps.get(at).filter(|_| other < at) else { return false };
        let Some(named) = step.needs() else { return true };
        let earlier = self.steps.iter().enumerate().take(at).skip(other);
        let is_named = |step: &dyn AnyStep<A>| named.iter().any(|name| name.as_str() == step.name());
        let mut needed = earlier.filter(|(_, step)| is_named(step.as_ref())).map(|(at, _)| at);
        needed.any(|needed| needed == other || self.needs(needed, other))
    }

    /// Returns the names in [`Step::needs`] that match no earlier step.
    pub(crate) fn missing_needs(&self) -> Vec<&'static str> {
        let earlier = |at: usize, name: &str| self.steps.iter().take(at).any(|step| step.name() == name);
        let named = |step: &dyn AnyStep<A>| step.needs().unwrap_or_default().iter().map(|name| name.as_str());
        let steps = self.steps.iter().enumerate();
        steps.flat_map(|(at, step)| named(step.as_ref()).filter(move |name| !earlier(at, name))).collect()
    }
}

impl<A> std::fmt::Debug for Definition<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} v{}", self.kind, self.version)
    }
}

/// The structure of a definition without its code, for tests that cover every step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    pub kind: &'static str,
    pub version: i32,
    pub steps: Vec<&'static str>,
    pub on_failure: OnFailure,
}

/// The context of an attempt.
#[derive(Debug, Clone)]
pub struct StepCx {
    /// The saga.
    pub saga_id: Uuid,
    /// The object that the saga works on, such as a platform's id.
    pub subject: String,
    /// See [`crate::NewSaga::fairness_key`].
    pub fairness_key: String,
    /// The context for calls to other services.
    pub ctx: Ctx,
    /// The number of this attempt to run the step, or to undo it.
    pub attempt: i32,
    /// The reason why the saga is undone, if it is.
    pub error: Option<String>,
    pub(crate) step: &'static str,
    /// The number of this attempt, without those that met an outage.
    pub(crate) counted_attempts: i32,
    pub(crate) input: Value,
    pub(crate) outputs: HashMap<String, Value>,
}

impl StepCx {
    /// Deserializes the saga's input.
    ///
    /// # Errors
    /// If it is not a `T`.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.input.clone()).map_err(Error::internal)
    }

    /// Returns the output of an earlier step.
    ///
    /// # Errors
    /// If the step has no output, or the output is not a `T`.
    pub fn output<T: DeserializeOwned>(&self, step: StepKey<T>) -> Result<T> {
        let name = step.as_str();
        self.output_if_any(step)?.ok_or_else(|| Error::internal(format!("step {name} has no output")))
    }

    /// Returns the output of a step, if any. A step that is being undone may have no output of its own.
    ///
    /// # Errors
    /// If the output is not a `T`.
    pub fn output_if_any<T: DeserializeOwned>(&self, step: StepKey<T>) -> Result<Option<T>> {
        self.outputs
            .get(step.as_str())
            .map(|output| serde_json::from_value(output.clone()).map_err(Error::internal))
            .transpose()
    }

    /// Returns true if the engine would retry the step after `error`.
    pub fn will_retry(&self, error: &Error, policy: Policy) -> bool {
        attempt::will_retry(error, self.counted_attempts, policy)
    }

    /// The interval for polling: a quarter of the saga's age, from 20 ms to 5 s, so that many waiting sagas cause few
    /// requests at a time.
    pub fn poll_backoff(&self) -> Duration {
        let (seconds, nanos) = self.saga_id.get_timestamp().map_or((0, 0), |at| at.to_unix());
        let age = clock::now() - DateTime::from_timestamp(seconds.cast_signed(), nanos).unwrap_or_default();
        (age.to_std().unwrap_or_default() / 4).clamp(Duration::from_millis(20), Duration::from_secs(5))
    }

    /// Returns an idempotency key for one of the step's calls, the same in every attempt.
    pub fn key(&self, call: &str) -> String {
        format!("{}:{}:{call}", self.saga_id, self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OnFailure;

    struct Named(&'static str, Option<&'static [StepName]>);

    #[async_trait]
    impl Step<()> for Named {
        type Output = ();

        fn key(&self) -> StepKey<()> {
            StepKey::new(self.0)
        }

        async fn run(&self, (): &(), _: &StepCx) -> Result<Progress<()>> {
            Ok(Progress::Skipped)
        }

        async fn undo(&self, (): &(), _: &StepCx) -> Result<()> {
            Ok(())
        }

        fn needs(&self) -> Option<&'static [StepName]> {
            self.1
        }
    }

    const fn step(name: &'static str) -> StepName {
        StepKey::<()>::new(name).name()
    }

    const A: &[StepName] = &[step("a")];
    const B: &[StepName] = &[step("b")];
    const C: &[StepName] = &[step("c")];

    fn definition(steps: &[(&'static str, Option<&'static [StepName]>)]) -> Definition<()> {
        let steps = steps.iter().map(|(name, needs)| Box::new(Named(name, *needs)) as Box<dyn AnyStep<()>>);
        Definition { kind: "kind", version: 1, steps: steps.collect(), on_failure: OnFailure::Undo }
    }

    #[test]
    fn dependencies_are_transitive() {
        let all = definition(&[("a", None), ("b", Some(&[])), ("c", Some(A)), ("d", Some(C)), ("e", None)]);
        let needed = |at: usize| (0..5).filter(|other| all.needs(at, *other)).collect::<Vec<_>>();
        assert_eq!([0, 1, 2, 3, 4].map(needed), [vec![], vec![], vec![0], vec![0, 2], vec![0, 1, 2, 3]]);
        assert!(all.missing_needs().is_empty());
    }

    #[test]
    fn dependency_on_a_later_or_unknown_step_is_reported() {
        const A_AND_TYPO: &[StepName] = &[step("a"), step("typo")];
        let wrong = definition(&[("a", Some(B)), ("b", Some(A_AND_TYPO))]);
        assert_eq!(wrong.missing_needs(), ["b", "typo"]);
    }
}
