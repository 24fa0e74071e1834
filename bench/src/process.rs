//! A server that runs beside the bench, and ends with it.

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

/// How long a server may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Process {
    /// Where it is reached.
    pub(crate) url: String,
    child: Child,
}

/// An address that nothing listens on now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Process {
    /// Starts `command`, which listens on `address`; what it says goes to `log`.
    pub(crate) async fn start(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Self> {
        let what = format!("{:?}", command.as_std().get_program());
        let said = File::create(log)?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {what}"))?;
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                if child.try_wait()?.is_some() {
                    bail!("it ended");
                }
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        let started =
            timeout(PATIENCE, listens).await.unwrap_or_else(|_| Err(anyhow::anyhow!("it does not listen")));
        started.with_context(|| format!("{what}: {}", fs::read_to_string(log).unwrap_or_default()))?;
        Ok(Self { url: format!("http://{address}"), child })
    }

    /// Its resident memory now, in MiB.
    pub(crate) fn memory(&self) -> Result<u64> {
        let pid = self.child.id().context("it has ended")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.split_whitespace().next().unwrap_or_default().parse()?;
        Ok(kib / 1024)
    }

    /// The processor time that it has taken so far, in microseconds.
    pub(crate) fn cpu(&self) -> Result<u64> {
        let pid = self.child.id().context("it has ended")?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // After the name, which may hold anything: user and system time are fields 14 and 15, in ticks of 10 ms.
        let (_, fields) = stat.rsplit_once(") ").context("no name")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(ticks * 10_000)
    }

    /// Tells it to end and waits for that.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        }
        timeout(PATIENCE, self.child.wait()).await.context("it does not end")??;
        Ok(())
    }
}
