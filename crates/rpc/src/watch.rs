//! Watches of another service: streams that are reopened whenever they break.

use std::{convert::Infallible, time::Duration};

use domain::{Error, Result};
use runtime::backoff::Backoff;
use tokio::time::sleep;
use tonic::{Status, Streaming};

/// Pauses before a broken watch is reopened.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// Runs `watch`, and runs it again whenever it fails. `lost` gets the error and returns true if the watch had begun;
/// the backoff then restarts with its shortest pause.
pub async fn watch_forever<F>(mut watch: impl FnMut() -> F, lost: impl Fn(&Error) -> bool) -> Infallible
where
    F: Future<Output = Result<Infallible>>,
{
    let mut failures = 0u32;
    loop {
        let Err(cause) = watch().await;
        if lost(&cause) {
            failures = 0;
        }
        failures = failures.saturating_add(1);
        sleep(BACKOFF.pause(failures)).await;
    }
}

/// Returns the next message of a watch of `peer`.
///
/// # Errors
/// [`domain::Kind::ServiceUnavailable`] if the watch broke or ended.
pub async fn next<T>(peer: &'static str, messages: &mut Streaming<T>) -> Result<T> {
    let lost = |status: Status| Error::service_unavailable(peer, status);
    messages
        .message()
        .await
        .map_err(lost)?
        .ok_or_else(|| Error::service_unavailable(peer, "the watch has ended"))
}
