//! `test-postgres [--data-dir DIR] -- COMMAND [ARGS...]`: runs a command with a temporary PostgreSQL.
//!
//! The command gets the URL of the superuser in `NNO_TEST_POSTGRES_URL`. The program returns the exit code of the
//! command, or 125 if it could not run it. It stops and removes the cluster at the end, also when interrupted. Each run
//! removes the clusters of earlier runs that were killed.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use embedded_postgres::{Cluster, Settings, discard};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use rand::Rng;
use rand::distr::Alphanumeric;
use secrecy::{ExposeSecret, SecretString};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

const URL: &str = "NNO_TEST_POSTGRES_URL";
const PREFIX: &str = "nno-test-postgres-";
/// Minimum age of a folder to remove. A younger one may belong to a run that is about to lock it.
const SWEEP_AGE: Duration = Duration::from_secs(60);
/// Time for the command to exit after a signal.
const GRACE: Duration = Duration::from_secs(10);
const NOT_RUN: u8 = 125;

#[derive(Parser)]
#[command(about = "Run a command with a temporary PostgreSQL, whose URL is in NNO_TEST_POSTGRES_URL")]
struct Args {
    /// Folder whose subfolder `postgres` holds the cluster while it runs [default: a temporary folder]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Folder that contains `initdb` and `postgres` [default: search for it]
    #[arg(long, env = "NNO_POSTGRES_BIN")]
    postgres_bin: Option<PathBuf>,
    #[arg(long, default_value_t = 300)]
    max_connections: u16,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("test-postgres: {error:#}");
            ExitCode::from(NOT_RUN)
        }
    }
}

async fn run(args: Args) -> anyhow::Result<u8> {
    // First, so that from here on no signal ends this process before the cluster is removed.
    let mut signals = signals()?;
    sweep(&std::env::temp_dir()).await;
    let (_temporary, data_dir) = match &args.data_dir {
        Some(dir) => (None, dir.clone()),
        None => {
            let dir = temporary_folder()?;
            let path = dir.path().to_owned();
            (Some(dir), path)
        }
    };
    discard(&data_dir).await?;
    let outcome = with_cluster(args, &data_dir, &mut signals).await;
    discard(&data_dir).await.context("the cluster could not be removed")?;
    outcome
}

async fn with_cluster(
    args: Args,
    data_dir: &Path,
    signals: &mut mpsc::Receiver<Signal>,
) -> anyhow::Result<u8> {
    let password: String = rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect();
    let settings = Settings {
        data_dir: data_dir.to_owned(),
        binaries_dir: args.postgres_bin,
        port: None,
        durable: false,
        max_connections: args.max_connections,
        superuser_password: SecretString::from(password),
    };
    let cluster = tokio::select! {
        cluster = Cluster::start(settings) => cluster?,
        Some(signal) = signals.recv() => return Ok(killed_by(signal as i32)),
    };
    let outcome = run_command(&args.command, &cluster, signals).await;
    cluster.stop().await?;
    outcome
}

async fn run_command(
    command: &[OsString],
    cluster: &Cluster,
    signals: &mut mpsc::Receiver<Signal>,
) -> anyhow::Result<u8> {
    let (program, arguments) = command.split_first().context("a command is required")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env(URL, cluster.superuser_url("postgres").expose_secret())
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let status = tokio::select! {
        status = child.wait() => status?,
        Some(signal) = signals.recv() => stop(&mut child, signal).await?,
        exit = cluster.exited() => {
            eprintln!("test-postgres: {exit}");
            stop(&mut child, Signal::SIGTERM).await?
        }
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or_else(|| killed_by(status.signal().unwrap_or_default())))
}

/// Stops the command. After Ctrl-C the terminal has already signalled it; a second signal could make it skip its
/// cleanup.
async fn stop(child: &mut Child, signal: Signal) -> anyhow::Result<ExitStatus> {
    if signal == Signal::SIGINT
        && let Ok(status) = timeout(GRACE, child.wait()).await
    {
        return Ok(status?);
    }
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // An error means that the process has just exited.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if let Ok(status) = timeout(GRACE, child.wait()).await {
        return Ok(status?);
    }
    child.start_kill()?;
    Ok(child.wait().await?)
}

/// Returns the exit code that a shell reports for a process killed by a signal.
fn killed_by(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

fn signals() -> anyhow::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(8);
    let kinds = [
        (SignalKind::interrupt(), Signal::SIGINT),
        (SignalKind::terminate(), Signal::SIGTERM),
        (SignalKind::hangup(), Signal::SIGHUP),
    ];
    for (kind, name) in kinds {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                // A full channel already holds unprocessed signals.
                let _ = sender.try_send(name);
            }
        });
    }
    Ok(receiver)
}

/// Creates a temporary folder that other users may traverse, because PostgreSQL may run as another user.
fn temporary_folder() -> anyhow::Result<tempfile::TempDir> {
    let dir = tempfile::Builder::new().prefix(PREFIX).tempdir().context("cannot make a temporary folder")?;
    fs::set_permissions(dir.path(), Permissions::from_mode(0o711))?;
    Ok(dir)
}

/// Removes the clusters of killed runs. Ignores those that cannot be removed, because they do no harm.
async fn sweep(parent: &Path) {
    let Ok(entries) = parent.read_dir() else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        if is_old_and_ours(&path) && discard(&path).await.is_ok() {
            let _ = fs::remove_dir(&path);
        }
    }
}

fn is_old_and_ours(path: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else { return false };
    let age = metadata.modified().ok().and_then(|modified| modified.elapsed().ok());
    metadata.is_dir() && metadata.uid() == geteuid().as_raw() && age.is_some_and(|age| age > SWEEP_AGE)
}
