//! The names of steps, with the types of their outputs.

use std::{fmt, marker::PhantomData};

use async_trait::async_trait;
use domain::{Error, Result};
use serde_json::Value;

use crate::{Policy, Progress, Step, StepCx, Wait};

/// The name of a step and the type `T` of its output. Other steps read the output by its key, so neither a misspelt
/// name nor a wrong type compiles.
///
/// ```
/// # use saga::{StepCx, StepKey};
/// const COUNT: StepKey<u64> = StepKey::new("count");
/// fn read(cx: &StepCx) -> domain::Result<u64> {
///     cx.output(COUNT)
/// }
/// ```
///
/// ```compile_fail
/// # use saga::{StepCx, StepKey};
/// const COUNT: StepKey<u64> = StepKey::new("count");
/// fn read(cx: &StepCx) -> domain::Result<String> {
///     cx.output(COUNT)
/// }
/// ```
pub struct StepKey<T> {
    name: StepName,
    output: PhantomData<fn() -> T>,
}

/// The name of a step in rows and responses. Only a [`StepKey`] can create one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepName(&'static str);

impl StepName {
    /// Returns the name as text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl<T> StepKey<T> {
    /// Creates the key of the step with this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name: StepName(name), output: PhantomData }
    }

    /// Returns the name, for [`Step::needs`].
    pub const fn name(self) -> StepName {
        self.name
    }

    /// Returns the name as text.
    pub const fn as_str(self) -> &'static str {
        self.name.0
    }
}

impl<T> Clone for StepKey<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for StepKey<T> {}

impl<T> fmt::Debug for StepKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.0)
    }
}

/// A step with its output type erased, as a [`crate::Definition`] lists it. Every [`Step`] implements it.
#[async_trait]
pub trait AnyStep<A>: Send + Sync {
    /// See [`Step::key`].
    fn name(&self) -> &'static str;

    /// See [`Step::run`]; the output is JSON here.
    async fn run(&self, app: &A, cx: &StepCx) -> Result<Progress<Value>>;

    /// See [`Step::before_undo`] and [`Step::undo`]. `None` means that the step is undone.
    async fn undo(&self, app: &A, cx: &StepCx) -> Result<Option<Wait>>;

    /// See [`Step::undo_if_not_started`].
    fn undo_if_not_started(&self) -> bool;

    /// See [`Step::needs`].
    fn needs(&self) -> Option<&'static [StepName]>;

    /// See [`Step::policy`].
    fn policy(&self) -> Policy;
}

#[async_trait]
impl<A: Sync, S: Step<A>> AnyStep<A> for S {
    fn name(&self) -> &'static str {
        self.key().as_str()
    }

    async fn run(&self, app: &A, cx: &StepCx) -> Result<Progress<Value>> {
        let progress = Step::run(self, app, cx).await?;
        progress.try_map(|output| serde_json::to_value(output).map_err(Error::internal))
    }

    async fn undo(&self, app: &A, cx: &StepCx) -> Result<Option<Wait>> {
        let wait = self.before_undo(app, cx).await?;
        if wait.is_none() {
            Step::undo(self, app, cx).await?;
        }
        Ok(wait)
    }

    fn undo_if_not_started(&self) -> bool {
        Step::undo_if_not_started(self)
    }

    fn needs(&self) -> Option<&'static [StepName]> {
        Step::needs(self)
    }

    fn policy(&self) -> Policy {
        Step::policy(self)
    }
}
