//! Background workers that run until the process stops.

use std::{sync::Arc, time::Duration};

use domain::Result;
use tokio::sync::Notify;
use tracing::Instrument;

use crate::{backoff::Backoff, shutdown::Shutdown};

/// The pauses after consecutive failures.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));

/// Calls `run_once` repeatedly: immediately if it returns true (there was work), otherwise after `wake` or `idle`.
/// After a failure, the worker backs off and continues, so that it survives a long outage of the database.
pub fn run<F, Fut>(shutdown: &Shutdown, name: &'static str, idle: Duration, wake: Arc<Notify>, run_once: F)
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = Result<bool>> + Send + 'static,
{
    let stop = shutdown.clone();
    let work = async move {
        let mut failures = 0u32;
        while !stop.has_begun() {
            let pause = match run_once().await {
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
