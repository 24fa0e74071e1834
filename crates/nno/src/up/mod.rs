//! `nno up`: the whole system on one machine, in one process beside its PostgreSQL.

mod folder;
mod operator;
mod place;
mod port;
mod postgres;
mod running;
mod secret;
mod services;
mod settings;
mod signal;
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
    folder::DataFolder,
    port::Reserved,
    running::Running,
    services::Site,
    settings::SettingsFile,
    signal::HangUps,
    system::{Places, System},
};
use cli::say;

/// More would only cost: each worker of each service holds connections to PostgreSQL.
const MOST_WORKERS: usize = 8;
/// Files that may be open at a time, if the system lets us: more than all connections that the gateway takes.
const OPEN_FILES: u64 = 65_536;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The port of the gateway; 0 takes any free one
    #[arg(long, env = "NNO_PORT", default_value_t = 8080)]
    port: u16,
    /// The address that the gateway listens on
    #[arg(long, env = "NNO_BIND", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// The folder that everything is kept in [default: .nno]
    #[arg(long, env = "NNO_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The operator's credential, 16 or more characters [default: made once and kept in the data folder]
    #[arg(long, env = "NNO_OPERATOR_KEY", hide_env_values = true, value_parser = unseen)]
    operator_key: Option<Secret>,
    /// The folder of PostgreSQL's programs `initdb` and `postgres` [default: looked for]
    #[arg(long, env = "NNO_POSTGRES_BIN")]
    postgres_bin: Option<PathBuf>,
    /// What is logged: the words of tracing's EnvFilter
    #[arg(long, env = "NNO_LOG", default_value = "info,actix_server=warn")]
    log: String,
    /// Where traces and metrics go: OTLP over gRPC, such as http://127.0.0.1:4317 [default: nowhere]
    #[arg(long, env = "NNO_OTLP_ENDPOINT", default_value = "", hide_default_value = true)]
    otlp_endpoint: String,
    /// A TOML file with settings: a table for each process, such as [gateway.service.limits] [default: none]
    #[arg(long, env = "NNO_CONFIG_FILE")]
    config: Option<PathBuf>,
    /// Publish the templates to start with, unless they are there
    #[arg(long, env = "NNO_DEMO", value_parser = FalseyValueParser::new())]
    demo: bool,
}

/// Whatever it is: what is refused while the arguments are read is also repeated.
fn unseen(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

/// Runs until the first SIGTERM or Ctrl-C has been answered in order, or a second one cuts that short.
pub(crate) async fn run(args: Args) -> ExitCode {
    let stop = Shutdown::new();
    // Before there is anything that must not be left behind.
    let (second_signal, hang_ups) = match signal::listen(&stop) {
        Ok(heeded) => heeded,
        Err(error) => return say::failed(&error.into()),
    };
    tokio::select! {
        outcome = Box::pin(up(args, stop, hang_ups)) => match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => say::failed(&error),
        },
        // What runs is dropped, and PostgreSQL with it: it is told to stop and not waited for.
        signal = second_signal => cut_short(signal),
    }
}

fn cut_short(signal: Signal) -> ExitCode {
    tracing::warn!(signal = signal.as_str(), "stopped at once");
    // As a shell tells it.
    ExitCode::from(u8::try_from(128 + signal as i32).unwrap_or(u8::MAX))
}

async fn up(args: Args, stop: Shutdown, hang_ups: HangUps) -> Result<()> {
    let file = SettingsFile(args.config.clone());
    let told = file.read()?;
    let folder = DataFolder::open(&place::choose(args.data_dir.clone())?)?;
    let front = SocketAddr::new(args.bind, args.port);
    // Now, and not when all the rest is up.
    let front = Reserved::at(front).with_context(|| {
        format!("cannot listen on {front} (is something running there?): choose another port with NNO_PORT")
    })?;
    let settings = TelemetrySettings { log: args.log.clone(), otlp_endpoint: args.otlp_endpoint.clone() };
    let telemetry = Telemetry::start("nno", &settings)?;
    if let Err(error) = raise_open_files() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let workers = available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    let site = Site { keys: folder.keys()?, provider: folder.provider(), workers, telemetry: settings, told };
    let system = System {
        folder: &folder,
        site: &site,
        front: front.address,
        operator_key: args.operator_key,
        file,
        demo: args.demo,
        stop: &stop,
        hang_ups,
    };
    let outcome = beside_postgres(&system, args.postgres_bin).await;
    telemetry.flush();
    outcome
}

/// A connection is an open file, and what an ordinary user may have open at first, often 1024, is soon used up.
fn raise_open_files() -> nix::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(OPEN_FILES);
    if soft < wanted { setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) } else { Ok(()) }
}

async fn beside_postgres(system: &System<'_>, postgres_bin: Option<PathBuf>) -> Result<()> {
    let folder = system.folder;
    let plans = services::plan(system.site)?;
    say::line(format_args!("data folder: {}", folder.path().display()));
    if system.operator_key.is_none() && folder.operator_key_path().exists() {
        say::line(format_args!("operator key: in {}", folder.operator_key_path().display()));
    }
    // What is wrong with it is told before anything is started in vain.
    system.gateway(&system.site.told, &Places::unknown())?;
    let mut cluster = postgres::start(folder, postgres_bin, &plans).await?;
    let mut running = Running::default();
    let outcome = system.serve(plans, &mut cluster, &mut running).await;
    running.stop().await;
    // What kept the system from running is what people want to know first.
    outcome.and(cluster.stop().await.context("cannot stop PostgreSQL"))
}
