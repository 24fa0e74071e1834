use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::error::Error;

/// Time limit of a start. Replaying the log of a large cluster after a crash can take minutes.
const START_TIMEOUT: Duration = Duration::from_secs(600);
const START_WARNING: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// Signals that stop a postmaster, in order, each with its grace period. SIGINT terminates sessions and writes a
/// checkpoint; SIGQUIT writes nothing, so that the next start replays the log; SIGKILL ends the process at once.
pub(crate) const STOP: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(30)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

/// Unexpected exit of PostgreSQL.
#[derive(Debug, Clone)]
pub struct Exit {
    /// `None` if the operating system did not report it.
    pub status: Option<ExitStatus>,
    /// The end of its log.
    pub log_tail: String,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL exited ({}); the end of its log:\n{}", ExitReason(self.status), self.log_tail)
    }
}

struct ExitReason(Option<ExitStatus>);

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(status) => status.fmt(f),
            None => f.write_str("exit status unknown"),
        }
    }
}

/// The main process of a running PostgreSQL. Dropping it sends the stop signal and does not wait.
#[derive(Debug)]
pub(crate) struct Postmaster {
    pid: Pid,
    /// `None` while it runs, then its exit status.
    exit: watch::Receiver<Option<Option<ExitStatus>>>,
}

impl Postmaster {
    /// Starts the command and appends its output to the log.
    pub(crate) fn spawn(mut command: Command, log: File) -> Result<Self, Error> {
        let program = Path::new(command.as_std().get_program()).to_owned();
        let stdout = log.try_clone().map_err(Error::io("cannot open the log for", &program))?;
        command.stdout(Stdio::from(stdout)).stderr(Stdio::from(log));
        let mut child = command.spawn().map_err(Error::io("cannot run", &program))?;
        // `id` returns `None` only for a child that was already waited for.
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).map_or(Pid::from_raw(0), Pid::from_raw);
        let (ended, exit) = watch::channel(None);
        tokio::spawn(async move { ended.send_replace(Some(child.wait().await.ok())) });
        Ok(Self { pid, exit })
    }

    /// Waits until PostgreSQL accepts connections.
    ///
    /// # Errors
    /// The reason why it does not, as text.
    pub(crate) async fn ready(&self, cluster: &Path) -> Result<(), String> {
        let ready = async {
            while !self.is_ready(cluster) {
                sleep(POLL).await;
            }
        };
        let warnings = async {
            loop {
                sleep(START_WARNING).await;
                tracing::warn!("PostgreSQL is still starting; after a crash it first replays its log");
            }
        };
        let outcome = async {
            tokio::select! {
                () = ready => Ok(()),
                status = self.exited() => Err(ExitReason(status).to_string()),
                never = warnings => never,
            }
        };
        timeout(START_TIMEOUT, outcome)
            .await
            .unwrap_or_else(|_| Err(format!("not ready after {} s", START_TIMEOUT.as_secs())))
    }

    /// Returns true if `postmaster.pid` reports that PostgreSQL is ready. Like `pg_ctl`, reads the process id in its
    /// first line and the state in its eighth.
    fn is_ready(&self, cluster: &Path) -> bool {
        let Ok(text) = fs::read_to_string(cluster.join("postmaster.pid")) else { return false };
        let mut lines = text.lines().map(str::trim);
        let ours = lines.next() == Some(self.pid.to_string().as_str());
        ours && lines.nth(6) == Some("ready")
    }

    /// Waits until the process exits, for any reason.
    pub(crate) async fn exited(&self) -> Option<ExitStatus> {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        ended.ok().and_then(|status| status.flatten())
    }

    /// Stops PostgreSQL with the signals of [`STOP`].
    ///
    /// # Errors
    /// [`Error::Unstoppable`] if it survives SIGKILL.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        for (signal, grace) in STOP {
            self.signal(signal);
            if timeout(grace, self.exited()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(%signal, "PostgreSQL did not stop in time");
        }
        Err(Error::Unstoppable(self.pid.as_raw()))
    }

    fn signal(&self, signal: Signal) {
        let running = self.exit.borrow().is_none();
        // Pid 0 would signal our own process group.
        if running && self.pid.as_raw() > 0 {
            // An error means that the process has just exited.
            let _ = kill(self.pid, signal);
        }
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.signal(Signal::SIGINT);
    }
}
