//! Server processes, which end with the bench.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

/// Time for a server to listen, and to exit.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Process {
    /// Base URL.
    pub(crate) url: String,
    child: Child,
}

/// Returns an address without a listener.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Process {
    /// Starts `command` and waits until it listens on `address`. Its output is written to `log`.
    pub(crate) async fn start(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Self> {
        let what = format!("{:?}", command.as_std().get_program());
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {what}"))?;
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                if child.try_wait()?.is_some() {
                    bail!("it exited");
                }
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        let started =
            timeout(TIMEOUT, listens).await.unwrap_or_else(|_| Err(anyhow::anyhow!("it does not listen")));
        started.with_context(|| format!("{what}: {}", fs::read_to_string(log).unwrap_or_default()))?;
        Ok(Self { url: format!("http://{address}"), child })
    }

    /// Returns the current resident memory in MiB.
    pub(crate) fn memory(&self) -> Result<u64> {
        let pid = self.child.id().context("the process has exited")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.split_whitespace().next().unwrap_or_default().parse()?;
        Ok(kib / 1024)
    }

    /// Returns the processor time used so far, in microseconds.
    pub(crate) fn cpu(&self) -> Result<u64> {
        let pid = self.child.id().context("the process has exited")?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name may have spaces. User and system time are fields 14 and 15, in ticks of 10 ms.
        let (_, fields) = stat.rsplit_once(") ").context("no name")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(ticks * 10_000)
    }

    /// Sends SIGTERM and waits for the exit.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        }
        timeout(TIMEOUT, self.child.wait()).await.context("the process does not exit")??;
        Ok(())
    }
}
