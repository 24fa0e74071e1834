//! Stops processes of a cluster whose parent process is gone. The caller holds the lock of the folder, so no running
//! parent supervises them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::postmaster::STOP;

/// Time for the children of a killed postmaster to exit by themselves, which they do when they next wait.
const CHILD_EXIT: Duration = Duration::from_secs(1);
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// Stops an orphaned postmaster of `cluster` and its remaining children, and removes a stale `postmaster.pid`.
///
/// # Errors
/// [`Error::Unstoppable`] if a process survives SIGKILL.
pub(crate) async fn stop(cluster: &Path) -> Result<(), Error> {
    let pid_file = cluster.join("postmaster.pid");
    let recorded = recorded_pid(&pid_file);
    if let Some(pid) = recorded.filter(|pid| is_postmaster_of(*pid, cluster)) {
        tracing::warn!(%pid, cluster = %cluster.display(), "stopping a PostgreSQL whose parent process is gone");
        stop_postmaster(pid).await?;
    }
    stop_children(cluster).await?;
    // PostgreSQL would refuse to start if any process has the recorded pid: an unrelated one, or an unreaped zombie. If
    // no process has it, the file stays because PostgreSQL uses it to find the shared memory of surviving children.
    let pid_in_use = recorded_pid(&pid_file).is_some_and(|pid| kill(pid, None) != Err(Errno::ESRCH));
    if pid_in_use {
        fs::remove_file(&pid_file).map_err(Error::io("cannot remove", &pid_file))?;
    }
    Ok(())
}

async fn stop_postmaster(pid: Pid) -> Result<(), Error> {
    for (signal, grace) in STOP {
        send(pid, signal);
        if ended(pid, grace).await {
            return Ok(());
        }
    }
    Err(Error::Unstoppable(pid.as_raw()))
}

/// Stops children of the last postmaster. The next one refuses to start while they are attached to the shared memory.
async fn stop_children(cluster: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + CHILD_EXIT;
    while !processes_of(cluster).is_empty() && Instant::now() < deadline {
        sleep(POLL).await;
    }
    for pid in processes_of(cluster) {
        tracing::warn!(%pid, cluster = %cluster.display(), "killing a PostgreSQL process whose postmaster is gone");
        send(pid, Signal::SIGKILL);
        if !ended(pid, KILL_TIMEOUT).await {
            return Err(Error::Unstoppable(pid.as_raw()));
        }
    }
    Ok(())
}

fn recorded_pid(pid_file: &Path) -> Option<Pid> {
    let text = fs::read_to_string(pid_file).ok()?;
    // Negative for a single-user backend. 0 and 1 mean a damaged file and must never be signalled.
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    (pid.abs() > 1).then(|| Pid::from_raw(pid.abs()))
}

/// Returns true if the process is a postmaster of this data directory, and not another process that reuses its pid.
fn is_postmaster_of(pid: Pid, cluster: &Path) -> bool {
    let Some(line) = command_line(pid) else { return false };
    line.contains(&format!("/postgres -D {} ", cluster.display()))
}

/// Returns the command line of a process with its arguments joined by spaces, or `None` if it does not exist.
fn command_line(pid: Pid) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " "));
    }
    let output = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!line.is_empty()).then_some(line)
}

/// Returns the PostgreSQL processes of the cluster; their working directory is its data directory. Returns none if
/// `/proc` is missing or unreadable: PostgreSQL then detects the processes itself, and the start is retried.
fn processes_of(cluster: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster))
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres")
        })
        .map(Pid::from_raw)
        .collect()
}

fn send(pid: Pid, signal: Signal) {
    // The process may have just exited; the caller checks that next.
    if let Err(error) = kill(pid, signal) {
        tracing::debug!(%pid, %signal, %error, "signal not sent");
    }
}

async fn ended(pid: Pid, grace: Duration) -> bool {
    let deadline = Instant::now() + grace;
    while is_alive(pid) {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL).await;
    }
    true
}

/// Returns true if the process runs. A zombie does not: there may be no parent left to reap it.
fn is_alive(pid: Pid) -> bool {
    let zombie = fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')));
    !zombie && kill(pid, None) != Err(Errno::ESRCH)
}
