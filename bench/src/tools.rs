//! The tools that send load, and what they tell.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;

use crate::{process::Process, report::Figure};

/// How much load, for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) seconds: Duration,
    pub(crate) connections: u32,
}

/// A client of what runs on this machine.
pub(crate) fn client() -> Result<reqwest::Client> {
    let tls = identity::tls::web_client(None)?;
    Ok(reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build()?)
}

/// A file of this crate.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

async fn said(command: &mut Command) -> Result<String> {
    let what = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.kill_on_drop(true).output().await.with_context(|| format!("cannot run {what}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {}: {told}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What the database is asked of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) operation: &'a str,
    /// Of which platforms, counted from the first.
    pub(crate) rows: u32,
    /// The platforms that the policies let through, as `nno.platforms` has them.
    pub(crate) seen: &'a str,
}

/// Has the database do what an operation needs of it, and nothing else. The folder is for what it logs.
pub(crate) async fn pgbench(
    dir: &Path,
    database: &SecretString,
    asked: Asked<'_>,
    load: Load,
) -> Result<Figure> {
    let Asked { operation, rows, seen } = asked;
    let log = dir.join("pgbench");
    let text = said(
        Command::new("pgbench")
            .env("PGOPTIONS", format!("-c nno.platforms={seen} -c nno.writing=on"))
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=1", "--log", "--sampling-rate=0.1"])
            .arg(format!("--client={}", load.connections))
            .arg(format!("--time={}", load.seconds.as_secs()))
            .arg(format!("--define=rows={rows}"))
            .arg(format!("--log-prefix={}", log.display()))
            .arg("--file")
            .arg(file(&format!("sql/{operation}.sql")))
            .arg(database.expose_secret()),
    )
    .await?;
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
        .with_context(|| format!("pgbench told no rate: {text}"))?;
    let mut took = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pgbench.")) {
            let log = fs::read_to_string(&path)?;
            took.extend(log.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok()));
            fs::remove_file(&path)?;
        }
    }
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).copied().context("pgbench logged nothing");
    Ok(Figure { cpu: None, rate, p50: at(50)?, p99: at(99)? })
}

/// Sends requests to a server: reads if there is a file of paths, else creates. All of them must be answered well.
pub(crate) async fn wrk(server: &Process, token: &str, paths: Option<PathBuf>, load: Load) -> Result<Figure> {
    let (figure, faults) = run_wrk(server, token, paths, load).await?;
    ensure!(faults == 0, "{faults} requests to {} failed", server.url);
    Ok(figure)
}

/// Sends reads to a server, which may refuse them.
pub(crate) async fn wrk_whatever(
    server: &Process,
    token: &str,
    paths: PathBuf,
    load: Load,
) -> Result<Figure> {
    Ok(run_wrk(server, token, Some(paths), load).await?.0)
}

async fn run_wrk(server: &Process, token: &str, paths: Option<PathBuf>, load: Load) -> Result<(Figure, u64)> {
    let mut command = Command::new("wrk");
    command
        .arg("--threads=1")
        .arg(format!("--connections={}", load.connections))
        .arg(format!("--duration={}s", load.seconds.as_secs()))
        .arg("--script")
        .arg(file("wrk/requests.lua"))
        .args([&server.url, "--", token])
        .args(paths);
    let before = server.cpu()?;
    let text = said(&mut command).await?;
    let line = text.lines().find_map(|line| line.strip_prefix("nno ")).context("wrk told nothing")?;
    let told: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [requests, micros, faults, p50, p99] = told[..] else { anyhow::bail!("wrk told {line}") };
    ensure!(requests > 0, "{} answered nothing", server.url);
    let cpu = Some((server.cpu()? - before) / requests);
    Ok((Figure { cpu, rate: requests as f64 / (micros as f64 / 1e6), p50, p99 }, faults))
}
