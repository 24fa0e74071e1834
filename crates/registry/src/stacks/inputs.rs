//! Checks the inputs of stacks away from the threads that serve requests: a check may take up to a second.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use domain::{Error, Fault, PlatformId, Result};
use serde_json::Value;
use stack_definition::check_inputs;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{definition::Known, model::Inputs};

/// Checks that run at a time in this process.
static CHECKS: Semaphore = Semaphore::const_new(2);
/// The platforms that have a check running or waiting. Each has one at a time, so that none takes all of [`CHECKS`].
static PLATFORMS: LazyLock<Mutex<HashMap<PlatformId, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);
/// Longest wait for a check to begin.
const WAIT: Duration = Duration::from_secs(3);

/// Checks what was filled in for a version. Never called with a connection in hand, unless the row that it depends on
/// was changed in between.
///
/// # Errors
/// [`domain::Kind::Validation`] with every fault, at `inputs/…`, also when the inputs are too costly to check;
/// [`domain::Kind::ServiceUnavailable`] when other checks take too long.
pub(super) async fn check(known: &Known, platform: &PlatformId, inputs: &Inputs) -> Result<()> {
    let (definition, values) = (known.definition.clone(), Value::Object(inputs.clone()));
    let own = of_platform(platform);
    let permits =
        async { Ok::<_, tokio::sync::AcquireError>((own.acquire_owned().await?, CHECKS.acquire().await?)) };
    let permits = timeout(WAIT, permits)
        .await
        .map_err(|error| Error::unavailable("The check of inputs", error))?
        .map_err(Error::internal)?;
    let checked = spawn_blocking(move || {
        let result = check_inputs(&definition, &values);
        // Held until the work ends, also when nobody waits for it any more.
        drop(permits);
        result
    });
    let at = |fault: Fault| Fault::new(format!("inputs{}", fault.path), fault.message);
    checked
        .await
        .map_err(Error::internal)?
        .map_err(|faults| Error::validation(faults.into_iter().map(at).collect()))
}

fn of_platform(platform: &PlatformId) -> Arc<Semaphore> {
    let mut platforms = PLATFORMS.lock().unwrap_or_else(PoisonError::into_inner);
    platforms.retain(|_, checks| Arc::strong_count(checks) > 1);
    Arc::clone(platforms.entry(platform.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))))
}
