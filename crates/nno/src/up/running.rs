//! What runs in this process, and its end in the right order.

use std::{collections::HashSet, panic::AssertUnwindSafe, time::Duration};

use anyhow::{Result, anyhow};
use futures_util::FutureExt;
use runtime::shutdown::Shutdown;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// How long all of it together may take to end: longer than the drain of any one.
const PATIENCE: Duration = Duration::from_secs(30);

/// Members in the order of their start, the called before the callers.
#[derive(Debug, Default)]
pub(crate) struct Running {
    members: Vec<(&'static str, Shutdown)>,
    runs: JoinSet<(&'static str, Result<()>)>,
    going: HashSet<&'static str>,
}

impl Running {
    /// Announces a member: from now on it is stopped with the others, even if it does not come to run.
    pub(crate) fn announce(&mut self, name: &'static str) -> Shutdown {
        let shutdown = Shutdown::new();
        self.members.push((name, shutdown.clone()));
        shutdown
    }

    /// Runs an announced member.
    pub(crate) fn run(&mut self, name: &'static str, run: impl Future<Output = Result<()>> + Send + 'static) {
        self.going.insert(name);
        let run = AssertUnwindSafe(run).catch_unwind();
        self.runs.spawn(async move { (name, run.await.unwrap_or_else(|_| Err(anyhow!("it panicked")))) });
    }

    /// Ends when a member ends although nobody asked it to.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        match self.next().await {
            Some((name, Ok(()))) => anyhow!("{name} ended by itself"),
            Some((name, Err(error))) => error.context(format!("{name} ended by itself")),
            None => std::future::pending().await,
        }
    }

    /// Stops the members one after another, the last started first, so that none loses what it calls while it still
    /// has work.
    pub(crate) async fn stop(mut self) {
        let deadline = Instant::now() + PATIENCE;
        while let Some((name, shutdown)) = self.members.pop() {
            shutdown.begin();
            if timeout_at(deadline, self.until_ended(name, &shutdown)).await.is_ok() {
                tracing::info!(member = name, "stopped");
            } else {
                tracing::warn!(member = name, "did not end in time; its work is cut off");
            }
        }
    }

    async fn until_ended(&mut self, name: &'static str, shutdown: &Shutdown) {
        while self.going.contains(name) {
            if let Some((ended, Err(error))) = self.next().await {
                tracing::warn!(member = ended, error = format!("{error:#}"), "did not end well");
            }
        }
        // What a member that never came to run had started already.
        shutdown.drained().await;
    }

    /// The next one to end, and how; none if none runs.
    async fn next(&mut self) -> Option<(&'static str, Result<()>)> {
        while let Some(joined) = self.runs.join_next().await {
            if let Ok((name, result)) = joined {
                self.going.remove(name);
                return Some((name, result));
            }
        }
        self.going.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn the_last_started_is_stopped_first_and_waited_for() {
        let (mut running, log) = (Running::default(), Arc::new(Mutex::new(Vec::new())));
        for name in ["called", "caller"] {
            let (shutdown, log) = (running.announce(name), Arc::clone(&log));
            running.run(name, async move {
                shutdown.begun().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                log.lock().unwrap().push(name);
                Err(anyhow!("told, and no reason to stop stopping"))
            });
        }
        running.announce("never came to run");
        running.stop().await;
        assert_eq!(*log.lock().unwrap(), ["caller", "called"]);
    }

    #[tokio::test]
    async fn one_that_ends_by_itself_is_noticed() {
        let mut running = Running::default();
        let shutdown = running.announce("steady");
        running.run("steady", async move {
            shutdown.begun().await;
            Ok(())
        });
        running.announce("weak");
        running.run("weak", async { panic!("for the test") });
        assert_eq!(format!("{:#}", running.ended().await), "weak ended by itself: it panicked");
        running.stop().await;
    }
}
