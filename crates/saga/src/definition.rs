//! What a kind of saga consists of.

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

/// The result of a try of a step that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<T> {
    /// It is done, and this is what later steps and its undoing know of it.
    Done(T),
    /// It is under way elsewhere: the step is asked again.
    Waiting(Wait),
    /// There was nothing to do, and no earlier try did anything: it will not be undone.
    Skipped,
}

impl<T> Progress<T> {
    /// The same progress with another output.
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

/// How often and how long a step is tried. A try that its process did not live to see the end of counts, and does not
/// by itself make the step fail; asking again what is waited for does not count. Nor does a try that met an outage
/// ([`domain::Kind::ServiceUnavailable`]) or was asked to come later ([`domain::Kind::RateLimited`]): the step is tried again
/// until that is over, or the saga's deadline.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Tries before a passing failure is one for good.
    pub attempts: i32,
    /// The pause after the n-th failure is random, up to `pause * 2^(n-1)`.
    pub pause: Duration,
    /// The longest pause.
    pub max_pause: Duration,
    /// How long one try may take.
    pub timeout: Duration,
    /// Tries to undo before the saga is stuck.
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

/// One step of a kind of saga. Running or undoing it again, at any point, changes nothing more.
#[async_trait]
pub trait Step<A>: Send + Sync {
    /// Its output, which is stored as JSON.
    type Output: Serialize + Send + 'static;

    /// Its name, and the type of its output, by which other steps read it.
    fn key(&self) -> StepKey<Self::Output>;

    /// Does it. A failure whose kind is transient is tried again; any other is for good. A panic is a fault of ours,
    /// which is transient.
    async fn run(&self, app: &A, cx: &StepCx) -> Result<Progress<Self::Output>>;

    /// Begins the work elsewhere that has to end before it can be undone, and returns what to wait for; `None` once that
    /// work has ended. `undo` comes after it. It is called again after each wait, and fails as `undo` does.
    async fn before_undo(&self, _app: &A, _cx: &StepCx) -> Result<Option<Wait>> {
        Ok(None)
    }

    /// Undoes it, whether or not it ever took effect. Every failure is tried again, as often as the policy says.
    async fn undo(&self, app: &A, cx: &StepCx) -> Result<()>;

    /// Whether it is undone also when it was never begun: someone waits to hear that the saga came to nothing.
    fn undo_unbegun(&self) -> bool {
        false
    }

    /// The earlier steps that have to be done before it, and undone after it: all of them, unless it names some. Steps
    /// of which none needs the other run side by side.
    fn needs(&self) -> Option<&'static [StepName]> {
        None
    }

    /// How often it is tried.
    fn policy(&self) -> Policy {
        Policy::default()
    }
}

/// What happens when a step has failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Everything is undone, in reverse.
    Undo,
    /// It waits, as it is, for someone to retry it.
    Stop,
}

/// A kind of saga.
pub struct Definition<A> {
    /// Its name, as it stands in rows.
    pub kind: &'static str,
    /// Grows when steps are added, removed or reordered. A saga that began under an older version needs that
    /// version to be registered too.
    pub version: i32,
    /// In the order of running.
    pub steps: Vec<Box<dyn AnyStep<A>>>,
    pub on_failure: OnFailure,
}

impl<A> Definition<A> {
    /// Its outline.
    pub fn outline(&self) -> Outline {
        let steps = self.steps.iter().map(|step| step.name()).collect();
        Outline { kind: self.kind, version: self.version, steps, on_failure: self.on_failure }
    }

    /// Whether step `at` needs the step `other`, be it by another.
    pub(crate) fn needs(&self, at: usize, other: usize) -> bool {
        let Some(step) = self.steps.get(at).filter(|_| other < at) else { return false };
        let Some(named) = step.needs() else { return true };
        let earlier = self.steps.iter().enumerate().take(at).skip(other);
        let is_named = |step: &dyn AnyStep<A>| named.iter().any(|name| name.as_str() == step.name());
        let mut needed = earlier.filter(|(_, step)| is_named(step.as_ref())).map(|(at, _)| at);
        needed.any(|needed| needed == other || self.needs(needed, other))
    }

    /// Names that steps need and no earlier step has.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
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

/// What a kind of saga consists of, without what it does: for who tests that nothing is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    pub kind: &'static str,
    pub version: i32,
    pub steps: Vec<&'static str>,
    pub on_failure: OnFailure,
}

/// What a step knows.
#[derive(Debug, Clone)]
pub struct StepCx {
    /// The saga.
    pub saga_id: Uuid,
    /// What the saga is about.
    pub subject: String,
    /// Whose the saga is.
    pub flow: String,
    /// What calls of the step travel with.
    pub ctx: Ctx,
    /// How often the step was tried, or its undoing while it is undone, this time included.
    pub attempt: i32,
    /// Why the saga is undone, if it is.
    pub error: Option<String>,
    pub(crate) step: &'static str,
    /// How often it was tried, this time included, outages not.
    pub(crate) tries: i32,
    pub(crate) input: Value,
    pub(crate) outputs: HashMap<String, Value>,
}

impl StepCx {
    /// The saga's input.
    ///
    /// # Errors
    /// When it is not a `T`.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.input.clone()).map_err(Error::internal)
    }

    /// The output of an earlier step.
    ///
    /// # Errors
    /// When the step has no output, or one that is stored in another form.
    pub fn output<T: DeserializeOwned>(&self, step: StepKey<T>) -> Result<T> {
        let name = step.as_str();
        self.output_if_any(step)?.ok_or_else(|| Error::internal(format!("step {name} has no output")))
    }

    /// The output of a step, if it has one; while undoing, a step may not know what it did.
    ///
    /// # Errors
    /// When it is stored in another form.
    pub fn output_if_any<T: DeserializeOwned>(&self, step: StepKey<T>) -> Result<Option<T>> {
        self.outputs
            .get(step.as_str())
            .map(|output| serde_json::from_value(output.clone()).map_err(Error::internal))
            .transpose()
    }

    /// Whether the step would be tried again if it failed with `error`.
    pub fn is_tried_again(&self, error: &Error, policy: Policy) -> bool {
        attempt::is_tried_again(error, self.tries, policy)
    }

    /// When to ask again: the longer a saga has waited, the less often it asks, so that however many wait, few ask at a
    /// time.
    pub fn patience(&self) -> Duration {
        let begun = self.saga_id.get_timestamp().map_or((0, 0), |at| at.to_unix());
        let age = clock::now() - DateTime::from_timestamp(begun.0.cast_signed(), begun.1).unwrap_or_default();
        (age.to_std().unwrap_or_default() / 4).clamp(Duration::from_millis(20), Duration::from_secs(5))
    }

    /// An idempotency key for one of the step's calls: the same whenever the step is tried.
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
    fn a_step_needs_what_its_needs_need() {
        let all = definition(&[("a", None), ("b", Some(&[])), ("c", Some(A)), ("d", Some(C)), ("e", None)]);
        let needed = |at: usize| (0..5).filter(|other| all.needs(at, *other)).collect::<Vec<_>>();
        assert_eq!([0, 1, 2, 3, 4].map(needed), [vec![], vec![], vec![0], vec![0, 2], vec![0, 1, 2, 3]]);
        assert!(all.missing().is_empty());
    }

    #[test]
    fn what_is_needed_comes_earlier() {
        const A_AND_TYPO: &[StepName] = &[step("a"), step("typo")];
        let wrong = definition(&[("a", Some(B)), ("b", Some(A_AND_TYPO))]);
        assert_eq!(wrong.missing(), ["b", "typo"]);
    }
}
