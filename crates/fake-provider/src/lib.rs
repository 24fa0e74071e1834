//! A provider for tests: makes nothing, remembers everything, and fails, hangs and lies on demand.
//!
//! What it has "made" is kept in one SQLite database, in memory or in a folder. In a folder it outlives the process:
//! one that was killed finds what it made, and a test can open the same folder to look in and to change the script of a
//! service that runs as another process.

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
use self::state::Begun;
pub use self::state::{Call, LiveTarget, Outcome};

/// How often a call that hangs looks whether the script was set anew.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The fake provider. Clones share everything: one is the provider, another the handle to control it by.
#[derive(Clone, Debug)]
pub struct FakeProvider {
    connection: Arc<Mutex<Connection>>,
    clock: Clock,
}

/// What a call came to.
enum Effect {
    /// What is there after it, if anything is.
    ObservedState(Option<ObservedState>),
    Destroyed(DestroyOutcome),
}

/// The answer to any call.
type Answer = Result<Effect, ProviderError>;

impl FakeProvider {
    /// A provider that forgets everything when its last clone is dropped.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] in the words of SQLite.
    pub fn in_memory(script: &Script, clock: Clock) -> Result<Self, ProviderError> {
        let connection = Connection::open_in_memory().during(|| "opening a database in memory".to_owned())?;
        Self::with(connection, Some(script), clock)
    }

    /// A provider that remembers in `folder`, which is made if need be. May be open in any number of processes.
    ///
    /// A `script` is set if it is not the one the folder was last opened with: so a process that is started again with
    /// the same configuration goes on in the script where it was, and keeps what was set at run time. Without one, the
    /// folder's script stays. Blocks for as long as it takes to open a file.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] in the words of the disk or of SQLite.
    pub fn open(folder: &Path, script: Option<&Script>, clock: Clock) -> Result<Self, ProviderError> {
        std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
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

    /// Uses the database on a thread that may block.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let connection = Arc::clone(&self.connection);
        blocking(move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    /// One call, from its record to its answer.
    async fn perform(&self, operation: Operation, target: &Target) -> Answer {
        let (wanted, now) = (target.clone(), self.clock.now());
        let begun = self.call(move |c| state::begin(c, operation, &wanted, now)).await?;
        tokio::time::sleep(begun.latency).await;
        let (result, lied) = match &begun.action {
            Some(Action::Fail(fault)) => (Err(fault.clone().into()), false),
            Some(Action::Lie) => (self.lie(operation, target).await, true),
            Some(Action::FailAfterEffect(fault)) => {
                let done = self.effect(operation, target, false).await;
                (done.and(Err(fault.clone().into())), false)
            }
            Some(Action::Duplicate) => (self.effect(operation, target, true).await, false),
            Some(Action::Hang { stage, duration }) => {
                (self.hang(&begun, *stage, *duration, operation, target).await, false)
            }
            None => (self.effect(operation, target, false).await, false),
        };
        let outcome = match &result {
            Err(error) => Outcome::Failed(error.message.clone()),
            Ok(_) if lied => Outcome::Lied,
            Ok(_) => Outcome::Ok,
        };
        self.call(move |c| state::finish(c, begun.call, &outcome)).await?;
        result
    }

    /// Does what was asked.
    async fn effect(&self, operation: Operation, target: &Target, blindly: bool) -> Answer {
        let (target, now) = (target.clone(), self.clock.now());
        self.call(move |connection| match operation {
            Operation::Ensure => {
                state::ensure(connection, &target, blindly, now).map(|made| Effect::ObservedState(Some(made)))
            }
            Operation::Destroy => state::destroy(connection, &target, now).map(Effect::Destroyed),
            Operation::Observe => state::observe(connection, &target).map(Effect::ObservedState),
        })
        .await
    }

    /// Does nothing, and says it was done, or the opposite of what is.
    async fn lie(&self, operation: Operation, target: &Target) -> Answer {
        match operation {
            Operation::Ensure => state::made_up(target).map(|made| Effect::ObservedState(Some(made))),
            Operation::Destroy => Ok(Effect::Destroyed(DestroyOutcome::Removed)),
            Operation::Observe => match self.effect(operation, target, false).await? {
                Effect::ObservedState(None) => {
                    state::made_up(target).map(|made| Effect::ObservedState(Some(made)))
                }
                _ => Ok(Effect::ObservedState(None)),
            },
        }
    }

    /// Does what was asked, with a pause before or after.
    async fn hang(
        &self,
        begun: &Begun,
        stage: Stage,
        duration: Option<Duration>,
        operation: Operation,
        target: &Target,
    ) -> Answer {
        if stage == Stage::BeforeEffect {
            self.wait(begun.generation, duration).await?;
            return self.effect(operation, target, false).await;
        }
        let done = self.effect(operation, target, false).await;
        self.wait(begun.generation, duration).await?;
        done
    }

    /// Waits for `duration`, or else until the script is another than that of `generation`.
    async fn wait(&self, generation: i64, duration: Option<Duration>) -> Result<(), ProviderError> {
        if let Some(duration) = duration {
            tokio::time::sleep(duration).await;
            return Ok(());
        }
        while self.call(|connection| state::generation(connection)).await? == generation {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for FakeProvider {
    async fn ensure(&self, target: &Target) -> Result<ObservedState, ProviderError> {
        match self.perform(Operation::Ensure, target).await? {
            Effect::ObservedState(Some(observed)) => Ok(observed),
            _ => Err(ProviderError::permanent("the fake provider made nothing")),
        }
    }

    async fn destroy(&self, target: &Target) -> Result<DestroyOutcome, ProviderError> {
        match self.perform(Operation::Destroy, target).await? {
            Effect::Destroyed(destroyed) => Ok(destroyed),
            Effect::ObservedState(_) => Err(ProviderError::permanent("the fake provider destroyed nothing")),
        }
    }

    async fn observe(&self, target: &Target) -> Result<Option<ObservedState>, ProviderError> {
        match self.perform(Operation::Observe, target).await? {
            Effect::ObservedState(observed) => Ok(observed),
            Effect::Destroyed(_) => Err(ProviderError::permanent("the fake provider observed nothing")),
        }
    }
}
