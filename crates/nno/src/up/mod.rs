//! `nno up`: the whole system on one machine, in one process next to its PostgreSQL.

mod console;
mod data_folder;
mod data_path;
mod log_file;
mod operator;
mod port;
mod postgres;
mod secret;
mod services;
mod settings;
mod signal;
mod supervisor;
mod system;

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    thread::available_parallelism,
};

use anyhow::{Context, Result};
use clap::builder::FalseyValueParser;
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::Signal,
};
use runtime::{
    config::Secret,
    shutdown::Shutdown,
    telemetry::{Telemetry, TelemetrySettings},
};

use self::{
    console::Console,
    data_folder::DataFolder,
    log_file::{Limits, LogFile, LogWriter},
    port::ReservedPort,
    services::SharedSettings,
    settings::SettingsFile,
    signal::ReloadRequests,
    supervisor::Supervisor,
    system::{ServiceAddresses, System},
};
use cli::output;

/// Upper bound of the HTTP workers of one service: each holds connections to PostgreSQL.
const MAX_WORKERS: usize = 8;
/// Limit of open files to request from the system: more than all connections that the gateway accepts.
const OPEN_FILES: u64 = 65_536;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port of the gateway; 0 picks a free one
    #[arg(long, env = "NNO_PORT", default_value_t = 8080)]
    port: u16,
    /// Address that the gateway listens on
    #[arg(long, env = "NNO_BIND", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Folder for all data [default: .nno]
    #[arg(long, env = "NNO_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The operator's key, at least 16 characters [default: generated once and stored in the data folder]
    #[arg(long, env = "NNO_OPERATOR_KEY", hide_env_values = true, value_parser = parse_secret)]
    operator_key: Option<Secret>,
    /// Folder with PostgreSQL's programs `initdb` and `postgres` [default: searched for]
    #[arg(long, env = "NNO_POSTGRES_BIN")]
    postgres_bin: Option<PathBuf>,
    /// Filter of the log, in the syntax of tracing's EnvFilter
    #[arg(long, env = "NNO_LOG", default_value = "info,actix_server=warn")]
    log: String,
    /// Show request and other log lines on the terminal too; they are always in the log file
    #[arg(long, env = "NNO_LOG_REQUESTS", value_parser = FalseyValueParser::new())]
    log_requests: bool,
    /// Collector of traces and metrics, OTLP over gRPC, such as http://127.0.0.1:4317 [default: none]
    #[arg(long, env = "NNO_OTLP_ENDPOINT", default_value = "", hide_default_value = true)]
    otlp_endpoint: String,
    /// TOML file with settings: a table for each process, such as [gateway.service.limits] [default: none]
    #[arg(long, env = "NNO_CONFIG_FILE")]
    config: Option<PathBuf>,
    /// Publish the demo stack templates if they do not exist
    #[arg(long, env = "NNO_DEMO", value_parser = FalseyValueParser::new())]
    demo: bool,
}

/// Accepts any text: clap repeats a rejected value in its error.
fn parse_secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

/// Runs until the first SIGTERM or Ctrl-C has stopped everything in order, or a second one cuts that short.
pub(crate) async fn run(args: Args) -> ExitCode {
    let stop = Shutdown::new();
    let console = Console::new(args.log_requests);
    // Before anything exists that has to be cleaned up.
    let (second_signal, reload_requests) = match signal::listen(&stop, &console) {
        Ok(listening) => listening,
        Err(error) => return output::fail(&error.into()),
    };
    tokio::select! {
        outcome = Box::pin(up(args, &console, stop, reload_requests)) => match outcome {
            Ok(()) => {
                console.notice("Stopped.");
                ExitCode::SUCCESS
            }
            Err(error) => output::fail(&error),
        },
        // Dropping the system signals PostgreSQL to stop and does not wait for it.
        signal = second_signal => cut_short(signal),
    }
}

fn cut_short(signal: Signal) -> ExitCode {
    tracing::warn!(signal = signal.as_str(), "stopped at once");
    // The convention of shells.
    ExitCode::from(u8::try_from(128 + signal as i32).unwrap_or(u8::MAX))
}

async fn up(args: Args, console: &Console, stop: Shutdown, reload_requests: ReloadRequests) -> Result<()> {
    let settings_file = SettingsFile(args.config.clone());
    let file_settings = settings_file.read()?;
    let folder = DataFolder::open(&data_path::choose(args.data_dir.clone(), console)?)?;
    let front = SocketAddr::new(args.bind, args.port);
    // Reserved first, so that a port in use is reported before anything is created.
    let front = ReservedPort::at(front).with_context(|| {
        format!("cannot listen on {front} (is something running there?): choose another port with NNO_PORT")
    })?;
    let telemetry_settings =
        TelemetrySettings { log: args.log.clone(), otlp_endpoint: args.otlp_endpoint.clone() };
    let telemetry = start_telemetry(&telemetry_settings, &folder, console)?;
    if let Err(error) = raise_open_files() {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let workers = available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
    let shared = SharedSettings {
        keys_dir: folder.keys()?,
        provider_dir: folder.provider(),
        workers,
        telemetry: telemetry_settings,
        file: file_settings,
    };
    let system = System {
        console,
        folder: &folder,
        shared: &shared,
        front: front.address,
        operator_key: args.operator_key,
        settings_file,
        demo: args.demo,
        stop: &stop,
        reload_requests,
    };
    let outcome = run_with_postgres(&system, args.postgres_bin).await;
    telemetry.flush();
    outcome
}

fn start_telemetry(
    settings: &TelemetrySettings,
    folder: &DataFolder,
    console: &Console,
) -> Result<Telemetry> {
    let dir = folder.logs();
    let file = LogFile::open(&dir, Limits::default())
        .with_context(|| format!("cannot write log files in {}", dir.display()))?;
    let writer = LogWriter::new(file, console.logs_to_stderr());
    Telemetry::start_with_writer("nno", settings, move || writer.clone())
}

/// Raises the soft limit of open files: a connection is an open file, and the usual limit of 1024 is soon reached.
fn raise_open_files() -> nix::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let target = hard.min(OPEN_FILES);
    if soft < target { setrlimit(Resource::RLIMIT_NOFILE, target, hard) } else { Ok(()) }
}

async fn run_with_postgres(system: &System<'_>, postgres_bin: Option<PathBuf>) -> Result<()> {
    let (folder, console) = (system.folder, system.console);
    let plans = services::plan(system.shared)?;
    if console.is_terminal() {
        console.line(format_args!(
            "nno {}, data in {}\n",
            env!("CARGO_PKG_VERSION"),
            folder.path().display()
        ));
    } else {
        console.line(format_args!("data folder: {}", folder.path().display()));
    }
    // Reports faults of the gateway's settings before PostgreSQL is started.
    system.gateway_settings(&system.shared.file, &ServiceAddresses::none())?;
    if system.operator_key.is_none() {
        console.script_line(format_args!("operator key: in {}", folder.operator_key_path().display()));
    }
    let start = postgres::start(folder, postgres_bin, &plans);
    let mut cluster = console.step("Starting PostgreSQL", start).await?;
    let mut supervisor = Supervisor::default();
    let outcome = system.serve(plans, &mut cluster, &mut supervisor).await;
    supervisor.stop().await;
    // The error that ended the system is reported in preference to one of the stop.
    outcome.and(cluster.stop().await.context("cannot stop PostgreSQL"))
}
