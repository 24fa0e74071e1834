//! Load generators and their results.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;

use crate::{process::Process, report::Figure};

/// Size and duration of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) seconds: Duration,
    pub(crate) connections: u32,
}

/// Returns a client for servers on this machine.
pub(crate) fn client() -> Result<reqwest::Client> {
    let tls = identity::tls::web_client(None)?;
    Ok(reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build()?)
}

/// Returns the path of a file of this crate.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

async fn stdout_of(command: &mut Command) -> Result<String> {
    let what = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.kill_on_drop(true).output().await.with_context(|| format!("cannot run {what}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {}: {errors}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Statements of one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) operation: &'a str,
    /// Number of platforms to choose from, starting with the first.
    pub(crate) rows: u32,
    /// Platforms that the policies allow, in the format of `nno.platforms`.
    pub(crate) seen: &'a str,
}

/// Runs the statements of an operation directly in the database. pgbench writes its log to `dir`.
pub(crate) async fn pgbench(
    dir: &Path,
    database: &SecretString,
    query: Query<'_>,
    load: Load,
) -> Result<Figure> {
    let Query { operation, rows, seen } = query;
    let log = dir.join("pgbench");
    let text = stdout_of(
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
        .with_context(|| format!("pgbench printed no rate: {text}"))?;
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
    let at =
        |percent: usize| took.get(took.len() * percent / 100).copied().context("the log of pgbench is empty");
    Ok(Figure { cpu: None, rate, p50: at(50)?, p99: at(99)? })
}

/// Sends requests to a server: reads if there is a file of paths, else creates. All of them must succeed.
pub(crate) async fn wrk(server: &Process, token: &str, paths: Option<PathBuf>, load: Load) -> Result<Figure> {
    let (figure, faults) = run_wrk(server, token, paths, load).await?;
    ensure!(faults == 0, "{faults} requests to {} failed", server.url);
    Ok(figure)
}

/// Sends reads to a server, which may reject some of them.
pub(crate) async fn wrk_with_failures(
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
    let text = stdout_of(&mut command).await?;
    let line = text.lines().find_map(|line| line.strip_prefix("nno ")).context("wrk printed no result")?;
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [requests, micros, faults, p50, p99] = numbers[..] else {
        anyhow::bail!("cannot parse the result of wrk: {line}")
    };
    ensure!(requests > 0, "{} sent no response", server.url);
    let cpu = Some((server.cpu()? - before) / requests);
    Ok((Figure { cpu, rate: requests as f64 / (micros as f64 / 1e6), p50, p99 }, faults))
}
