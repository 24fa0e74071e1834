//! A provider for tests: it creates nothing, records every call, and fails, hangs and lies on demand.
//!
//! The provider stores its state in one SQLite database, in memory or in a folder. State in a folder survives the
//! process, and a test can open the same folder to read it and to change the script of a service in another process.

mod control;
mod script;
mod service;
mod state;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use provisioning::providers::{
    Clock, DestroyOutcome, ErrorContext as _, ObservedState, Provider, ProviderError, Target, blocking,
};
use rusqlite::Connection;

pub use self::control::Counts;
pub use self::script::{Action, Calls, Fault, Operation, Rule, Script, Stage};
pub use self::service::FakeProvisioning;
use self::state::ScriptedCall;
pub use self::state::{Call, LiveTarget, Outcome};

/// The interval at which a hanging call checks for a new script.
const SCRIPT_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The fake provider. Clones share their state, so a test can control the provider of a service through a clone.
#[derive(Clone, Debug)]
pub struct FakeProvider {
    connection: Arc<Mutex<Connection>>,
    clock: Clock,
}

/// The result of a call.
enum Effect {
    /// The target after the call, if it exists.
    Observed(Option<ObservedState>),
    Destroyed(DestroyOutcome),
}

/// The response to a call.
type CallResult = Result<Effect, ProviderError>;

impl FakeProvider {
    /// Creates a provider whose state is lost when its last clone is dropped.
    ///
    /// # Errors
    ///
    /// A [`ProviderError`] with the message of SQLite.
    pub fn in_memory(script: &Script, clock: Clock) -> Result<Self, ProviderError> {
        let connection = Connection::open_in_memory().during(|| "opening a database in memory".to_owned())?;
        Self::with(connection, Some(script), clock)
    }

    /// Opens a provider that stores its state in `folder`, which is created if necessary. Any number of processes can
    /// have it open.
    ///
    /// The `script` is set only if it differs from the one with which the folder was last opened. A process that is
    /// restarted with the same configuration thus continues its script and keeps a script set at run time. Without a
    /// `script`, the folder's script stays. This function blocks while it opens the file.
    ///
    /// # Errors
    ///
    /// A [`ProviderError`] with the message of the operating system or of SQLite.
    pub fn open(folder: &Path, script: Option<&Script>, clock: Clock) -> Result<Self, ProviderError> {
        std::fs::create_dir_all(folder).during(|| format!("creating {}", folder.display()))?;
        let path = folder.join("fake.sqlite");
        let connection = Connection::open(&path).during(|| format!("opening {}", path.display()))?;
        Self::with(connection, script, clock)
    }

    fn with(
        mut connection: Connection,
        script: Option<&Script>,
        clock: Clock,
    ) -> Result<Self, ProviderError> {
        state::prepare(&mut connection).during(|| "preparing the fake provider".to_owned())?;
        if let Some(script) = script {
            state::configure(&mut connection, script)?;
        }
        Ok(Self { connection: Arc::new(Mutex::new(connection)), clock })
    }

    /// Runs `work` on the database, on a thread that may block.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let connection = Arc::clone(&self.connection);
        blocking(move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    /// Executes one call: records it, applies the script and records the outcome.
    async fn perform(&self, operation: Operation, target: &Target) -> CallResult {
        let (requested, now) = (target.clone(), self.clock.now());
        let call = self.call(move |c| state::begin(c, operation, &requested, now)).await?;
        tokio::time::sleep(call.latency).await;
        let (result, lied) = match &call.action {
            Some(Action::Fail(fault)) => (Err(fault.clone().into()), false),
            Some(Action::Lie) => (self.lie(operation, target).await, true),
            Some(Action::FailAfterEffect(fault)) => {
                let done = self.effect(operation, target, false).await;
                (done.and(Err(fault.clone().into())), false)
            }
            Some(Action::Duplicate) => (self.effect(operation, target, true).await, false),
            Some(Action::Hang { stage, duration }) => {
                (self.hang(&call, *stage, *duration, operation, target).await, false)
            }
            None => (self.effect(operation, target, false).await, false),
        };
        let outcome = match &result {
            Err(error) => Outcome::Failed(error.message.clone()),
            Ok(_) if lied => Outcome::Lied,
            Ok(_) => Outcome::Ok,
        };
        self.call(move |c| state::finish(c, call.number, &outcome)).await?;
        result
    }

    /// Executes the operation.
    async fn effect(&self, operation: Operation, target: &Target, blindly: bool) -> CallResult {
        let (target, now) = (target.clone(), self.clock.now());
        self.call(move |connection| match operation {
            Operation::Ensure => state::ensure(connection, &target, blindly, now)
                .map(|observed| Effect::Observed(Some(observed))),
            Operation::Destroy => state::destroy(connection, &target, now).map(Effect::Destroyed),
            Operation::Observe => state::observe(connection, &target).map(Effect::Observed),
        })
        .await
    }

    /// Does nothing and reports success, or for `observe` the opposite of the actual state.
    async fn lie(&self, operation: Operation, target: &Target) -> CallResult {
        match operation {
            Operation::Ensure => state::invent(target).map(|observed| Effect::Observed(Some(observed))),
            Operation::Destroy => Ok(Effect::Destroyed(DestroyOutcome::Removed)),
            Operation::Observe => match self.effect(operation, target, false).await? {
                Effect::Observed(None) => {
                    state::invent(target).map(|observed| Effect::Observed(Some(observed)))
                }
                _ => Ok(Effect::Observed(None)),
            },
        }
    }

    /// Executes the operation with a pause before or after it.
    async fn hang(
        &self,
        call: &ScriptedCall,
        stage: Stage,
        duration: Option<Duration>,
        operation: Operation,
        target: &Target,
    ) -> CallResult {
        if stage == Stage::BeforeEffect {
            self.wait(call.generation, duration).await?;
            return self.effect(operation, target, false).await;
        }
        let done = self.effect(operation, target, false).await;
        self.wait(call.generation, duration).await?;
        done
    }

    /// Waits for `duration`; without one, until a newer script than that of `generation` is set.
    async fn wait(&self, generation: i64, duration: Option<Duration>) -> Result<(), ProviderError> {
        if let Some(duration) = duration {
            tokio::time::sleep(duration).await;
            return Ok(());
        }
        while self.call(|connection| state::generation(connection)).await? == generation {
            tokio::time::sleep(SCRIPT_POLL_INTERVAL).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for FakeProvider {
    async fn ensure(&self, target: &Target) -> Result<ObservedState, ProviderError> {
        match self.perform(Operation::Ensure, target).await? {
            Effect::Observed(Some(observed)) => Ok(observed),
            _ => Err(ProviderError::permanent("the fake provider created nothing")),
        }
    }

    async fn destroy(&self, target: &Target) -> Result<DestroyOutcome, ProviderError> {
        match self.perform(Operation::Destroy, target).await? {
            Effect::Destroyed(destroyed) => Ok(destroyed),
            Effect::Observed(_) => Err(ProviderError::permanent("the fake provider destroyed nothing")),
        }
    }

    async fn observe(&self, target: &Target) -> Result<Option<ObservedState>, ProviderError> {
        match self.perform(Operation::Observe, target).await? {
            Effect::Observed(observed) => Ok(observed),
            Effect::Destroyed(_) => Err(ProviderError::permanent("the fake provider observed nothing")),
        }
    }
}
