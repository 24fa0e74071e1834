//! Ends what still runs on a cluster although its parent is gone. The caller has the folder's lock, so no living
//! parent can be watching those processes.

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

/// The children of a postmaster that was killed notice by themselves, when they next wait for something.
const NOTICE: Duration = Duration::from_secs(1);
const KILL: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// Stops a postmaster left on `cluster`, then what it may have left in turn, and removes a stale `postmaster.pid`.
///
/// # Errors
/// [`Error::Unstoppable`] if a process outlives SIGKILL.
pub(crate) async fn stop(cluster: &Path) -> Result<(), Error> {
    let pid_file = cluster.join("postmaster.pid");
    let recorded = recorded_pid(&pid_file);
    if let Some(pid) = recorded.filter(|pid| is_postmaster_of(*pid, cluster)) {
        tracing::warn!(%pid, cluster = %cluster.display(), "stopping a PostgreSQL whose parent is gone");
        stop_postmaster(pid).await?;
    }
    stop_leftovers(cluster).await?;
    // PostgreSQL takes any process of that number for a rival: one that was given the number since, or a zombie that
    // nobody reaps. Otherwise the file stays, as PostgreSQL finds a survivor's shared memory through it.
    let taken = recorded_pid(&pid_file).is_some_and(|pid| kill(pid, None) != Err(Errno::ESRCH));
    if taken {
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

/// The next postmaster refuses to start while a child of the last one is attached to the shared memory.
async fn stop_leftovers(cluster: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + NOTICE;
    while !working_in(cluster).is_empty() && Instant::now() < deadline {
        sleep(POLL).await;
    }
    for pid in working_in(cluster) {
        tracing::warn!(%pid, cluster = %cluster.display(), "killing a PostgreSQL process whose postmaster is gone");
        send(pid, Signal::SIGKILL);
        if !ended(pid, KILL).await {
            return Err(Error::Unstoppable(pid.as_raw()));
        }
    }
    Ok(())
}

fn recorded_pid(pid_file: &Path) -> Option<Pid> {
    let text = fs::read_to_string(pid_file).ok()?;
    // Negative for a single-user backend; 0 and 1 could only be damage, and signalling them would be a disaster.
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    (pid.abs() > 1).then(|| Pid::from_raw(pid.abs()))
}

/// Whether the process is a postgres started on this data directory, and not one that was given its old number.
fn is_postmaster_of(pid: Pid, cluster: &Path) -> bool {
    let Some(line) = command_line(pid) else { return false };
    line.contains(&format!("/postgres -D {} ", cluster.display()))
}

/// The arguments, joined by spaces; `None` if there is no such process.
fn command_line(pid: Pid) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " "));
    }
    let output = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!line.is_empty()).then_some(line)
}

/// The processes whose working directory is the cluster, as that of all of PostgreSQL's is. Without `/proc`, or
/// where it tells us nothing, none: PostgreSQL then notices by itself, and the start is tried again.
fn working_in(cluster: &Path) -> Vec<Pid> {
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
    // It may have just ended; whether it did is looked at next.
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

/// A zombie has ended too: nobody may be left to reap it.
fn is_alive(pid: Pid) -> bool {
    let zombie = fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')));
    !zombie && kill(pid, None) != Err(Errno::ESRCH)
}
