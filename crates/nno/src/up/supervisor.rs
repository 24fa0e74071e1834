//! The services in this process and their ordered shutdown.

use std::{collections::HashSet, panic::AssertUnwindSafe, time::Duration};

use anyhow::{Result, anyhow};
use futures_util::FutureExt;
use runtime::shutdown::Shutdown;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// Time for all services together to stop: longer than the drain timeout of any one.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Services in start order: callees before callers.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    services: Vec<(&'static str, Shutdown)>,
    tasks: JoinSet<(&'static str, Result<()>)>,
    running: HashSet<&'static str>,
}

impl Supervisor {
    /// Registers a service before its start, so that a failed start is also cleaned up by [`Supervisor::stop`].
    pub(crate) fn register(&mut self, name: &'static str) -> Shutdown {
        let shutdown = Shutdown::new();
        self.services.push((name, shutdown.clone()));
        shutdown
    }

    /// Runs a registered service in a task of its own.
    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        run: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        self.running.insert(name);
        let run = AssertUnwindSafe(run).catch_unwind();
        self.tasks.spawn(async move { (name, run.await.unwrap_or_else(|_| Err(anyhow!("it panicked")))) });
    }

    /// Waits until a service ends without having been stopped, and returns the reason.
    pub(crate) async fn unexpected_end(&mut self) -> anyhow::Error {
        match self.next().await {
            Some((name, Ok(()))) => anyhow!("{name} ended unexpectedly"),
            Some((name, Err(error))) => error.context(format!("{name} ended unexpectedly")),
            None => std::future::pending().await,
        }
    }

    /// Stops the services one after another, the last started first, so that callees outlive their callers.
    pub(crate) async fn stop(mut self) {
        let deadline = Instant::now() + STOP_TIMEOUT;
        while let Some((name, shutdown)) = self.services.pop() {
            shutdown.begin();
            if timeout_at(deadline, self.until_ended(name, &shutdown)).await.is_ok() {
                tracing::info!(service = name, "stopped");
            } else {
                tracing::warn!(service = name, "did not stop in time and is aborted");
            }
        }
    }

    async fn until_ended(&mut self, name: &'static str, shutdown: &Shutdown) {
        while self.running.contains(name) {
            if let Some((ended, Err(error))) = self.next().await {
                tracing::warn!(service = ended, error = format!("{error:#}"), "stopped with an error");
            }
        }
        // A service whose start failed may have started background tasks.
        shutdown.drained().await;
    }

    /// Returns the next service to end and its result, or `None` if no service runs.
    async fn next(&mut self) -> Option<(&'static str, Result<()>)> {
        while let Some(joined) = self.tasks.join_next().await {
            if let Ok((name, result)) = joined {
                self.running.remove(name);
                return Some((name, result));
            }
        }
        self.running.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn last_started_service_is_stopped_first_and_waited_for() {
        let (mut supervisor, log) = (Supervisor::default(), Arc::new(Mutex::new(Vec::new())));
        for name in ["called", "caller"] {
            let (shutdown, log) = (supervisor.register(name), Arc::clone(&log));
            supervisor.spawn(name, async move {
                shutdown.begun().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                log.lock().unwrap().push(name);
                Err(anyhow!("an error does not end the shutdown"))
            });
        }
        supervisor.register("never started");
        supervisor.stop().await;
        assert_eq!(*log.lock().unwrap(), ["caller", "called"]);
    }

    #[tokio::test]
    async fn unexpected_end_is_reported() {
        let mut supervisor = Supervisor::default();
        let shutdown = supervisor.register("steady");
        supervisor.spawn("steady", async move {
            shutdown.begun().await;
            Ok(())
        });
        supervisor.register("weak");
        supervisor.spawn("weak", async { panic!("expected by the test") });
        assert_eq!(
            format!("{:#}", supervisor.unexpected_end().await),
            "weak ended unexpectedly: it panicked"
        );
        supervisor.stop().await;
    }
}
