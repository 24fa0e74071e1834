//! Background work that goes on until the process stops.

use std::{sync::Arc, time::Duration};

use domain::Result;
use tokio::sync::Notify;
use tracing::Instrument;

use crate::{backoff::Backoff, shutdown::Shutdown};

/// The pauses after failures in a row.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));

/// Runs `turn` again and again: at once while it says that there was work, else when woken or after `idle`. After a
/// failure it pauses, longer each time, and goes on: a database that is away for an hour ends no worker.
pub fn run<F, Fut>(shutdown: &Shutdown, name: &'static str, idle: Duration, wake: Arc<Notify>, turn: F)
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = Result<bool>> + Send + 'static,
{
    let stop = shutdown.clone();
    let work = async move {
        let mut failures = 0u32;
        while !stop.has_begun() {
            let pause = match turn().await {
                Ok(true) => {
                    failures = 0;
                    continue;
                }
                Ok(false) => {
                    failures = 0;
                    idle
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(
                        failures,
                        error = error.message(),
                        context = error.log_context(),
                        "worker failed"
                    );
                    BACKOFF.pause(failures)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = wake.notified(), if failures == 0 => {}
                () = stop.begun() => {}
            }
        }
    };
    shutdown.spawn(work.instrument(tracing::info_span!("worker", name)));
}
