//! Checks the inputs of stacks away from the threads that serve requests: a check may take up to a second.

use std::{sync::LazyLock, time::Duration};

use domain::{Error, Fault, PlatformId, Result};
use runtime::fair::{FairKey, FairSemaphore};
use serde_json::Value;
use stack_definition::check_inputs;
use tokio::{task::spawn_blocking, time::timeout};

use super::{definition::Known, model::Inputs};

/// Checks that run at a time in this process, of which one platform has one.
static CHECKS: LazyLock<FairSemaphore> = LazyLock::new(|| FairSemaphore::new(2));
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
    let share = FairKey::alone(platform.as_str());
    let permit = timeout(WAIT, CHECKS.acquire(&share, 1))
        .await
        .map_err(|error| Error::unavailable("The check of inputs", error))?;
    let checked = spawn_blocking(move || {
        let result = check_inputs(&definition, &values);
        // Held until the work ends, also when nobody waits for it any more.
        drop(permit);
        result
    });
    let at = |fault: Fault| Fault::new(format!("inputs{}", fault.path), fault.message);
    checked
        .await
        .map_err(Error::internal)?
        .map_err(|faults| Error::validation(faults.into_iter().map(at).collect()))
}
