//! `nno up`: the whole system on one machine, in one process beside its PostgreSQL.

mod folder;
mod place;
mod port;
mod postgres;
mod running;
mod secret;
mod services;
mod signal;

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    thread::available_parallelism,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::builder::FalseyValueParser;
use embedded_postgres::Cluster;
use gateway::{Gateway, Upstreams};
use iam::Iam;
use kit::{
    config::{self, PeerSettings, Secret},
    service::{Service, healthcheck},
    shutdown::Shutdown,
    telemetry::{Telemetry, TelemetrySettings},
};
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::Signal,
};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::time::{Instant, sleep};

use self::{
    folder::DataFolder,
    port::Reserved,
    running::Running,
    services::{Plan, Site},
};
use crate::{say, stack};

/// More would only cost: each worker of each service holds connections to PostgreSQL.
const MOST_WORKERS: usize = 8;
/// How long all of it may take to become ready once it runs.
const READY: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);
const SHORTEST_KEY: usize = 16;
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
    let second_signal = match signal::listen(&stop) {
        Ok(second_signal) => second_signal,
        Err(error) => return say::failed(&error.into()),
    };
    tokio::select! {
        outcome = Box::pin(up(args, stop)) => match outcome {
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

async fn up(args: Args, stop: Shutdown) -> Result<()> {
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
    let outcome = beside_postgres(&args, &folder, &front, &stop).await;
    telemetry.flush();
    outcome
}

/// A connection is an open file, and what an ordinary user may have open at first, often 1024, is soon used up.
fn raise_open_files() -> nix::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(OPEN_FILES);
    if soft < wanted { setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) } else { Ok(()) }
}

async fn beside_postgres(args: &Args, folder: &DataFolder, front: &Reserved, stop: &Shutdown) -> Result<()> {
    let workers = available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    let site = Site { keys: folder.keys()?, provider: folder.provider(), workers };
    let plans = services::plan(&site)?;
    say::line(format_args!("data folder: {}", folder.path().display()));
    let operator_key = operator_key(args, folder)?;
    let mut cluster = postgres::start(folder, args.postgres_bin.clone(), &plans).await?;
    let mut running = Running::default();
    let system = System { folder, site: &site, front: front.address, operator_key, demo: args.demo, stop };
    let outcome = system.serve(plans, &mut cluster, &mut running).await;
    running.stop().await;
    // What kept the system from running is what people want to know first.
    outcome.and(cluster.stop().await.context("cannot stop PostgreSQL"))
}

/// The operator's key, told where it was not known before.
fn operator_key(args: &Args, folder: &DataFolder) -> Result<Secret> {
    if let Some(given) = &args.operator_key {
        let key = given.expose();
        ensure!(
            key.len() >= SHORTEST_KEY && key.bytes().all(|c| c.is_ascii_graphic()),
            "the operator's key (NNO_OPERATOR_KEY) must be {SHORTEST_KEY} or more printable ASCII characters without \
             spaces"
        );
        return Ok(given.clone());
    }
    let kept = folder.operator_key()?;
    let key = kept.value.expose_secret();
    let path = folder.operator_key_path();
    if kept.new {
        say::line(format_args!("operator key: {key} (made now, and kept in {})", path.display()));
    } else {
        say::line(format_args!("operator key: in {}", path.display()));
    }
    Ok(Secret::new(key))
}

/// All that the services and the gateway are started with.
struct System<'a> {
    folder: &'a DataFolder,
    site: &'a Site,
    front: SocketAddr,
    operator_key: Secret,
    demo: bool,
    stop: &'a Shutdown,
}

impl System<'_> {
    /// Starts everything, says when it is ready, and watches it until `stop` begins.
    async fn serve(&self, plans: Vec<Plan>, cluster: &mut Cluster, running: &mut Running) -> Result<()> {
        let (mut addresses, mut iam) = (Vec::new(), None);
        for plan in plans {
            if self.stop.has_begun() {
                return Ok(());
            }
            let (name, urls) = (plan.name, postgres::database(cluster, self.folder, plan.name).await?);
            let application = plan.start(urls, running.announce(name)).await?;
            addresses.push((name, application.http));
            iam = iam.or((name == Iam::NAME).then_some(application.grpc));
            running.run(name, application.run());
        }
        let gateway = Gateway::build(self.gateway(&addresses, iam)?, running.announce(gateway::NAME))?;
        addresses.push((gateway::NAME, gateway.http));
        running.run(gateway::NAME, gateway.run());
        tokio::select! {
            outcome = postgres::keep_up(cluster, self.stop) => outcome,
            error = running.ended() => Err(error),
            error = self.tell_when_ready(&addresses) => Err(error),
        }
    }

    /// What the gateway is told; `iam` is where iam serves gRPC.
    fn gateway(
        &self,
        addresses: &[(&str, SocketAddr)],
        iam: Option<SocketAddr>,
    ) -> Result<gateway::Settings> {
        let url = |name: &str| {
            addresses.iter().find(|(of, _)| *of == name).map(|(_, http)| format!("http://{http}"))
        };
        let upstream =
            |name| url(name).map(|url| PeerSettings { url }).with_context(|| format!("{name} does not run"));
        let mut settings: gateway::Settings = config::with_overrides(
            gateway::DEFAULTS,
            json!({
                "http": { "bind": self.front, "workers": self.site.workers },
                "identity": { "keys_dir": self.site.keys },
            }),
        )?;
        settings.service.operator_key = self.operator_key.clone();
        settings.service.upstreams = Upstreams {
            registry: upstream("registry")?,
            stack_registry: upstream("stack-registry")?,
            onboarding: upstream("onboarding")?,
            provisioning: upstream("provisioning")?,
            iam: upstream("iam")?,
        };
        let iam = iam.context("iam does not run")?;
        settings.service.iam = PeerSettings { url: format!("http://{iam}") };
        Ok(settings)
    }

    /// Ends only if something does not become ready in time.
    async fn tell_when_ready(&self, addresses: &[(&str, SocketAddr)]) -> anyhow::Error {
        let deadline = Instant::now() + READY;
        for (name, http) in addresses {
            while let Err(error) = healthcheck(*http).await {
                if Instant::now() >= deadline {
                    return error.context(format!("{name} did not become ready in {} s", READY.as_secs()));
                }
                sleep(READY_POLL).await;
            }
        }
        if self.demo {
            self.publish_demo().await;
        }
        say::line(format_args!("nno is ready: http://{}", self.front));
        std::future::pending().await
    }

    /// Publishes the templates to start with, as a client would. The system is ready without them.
    async fn publish_demo(&self) {
        let mut front = self.front;
        if front.ip().is_unspecified() {
            front.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        match stack::publish_demo(&format!("http://{front}"), self.operator_key.clone()).await {
            Ok((changed, all)) => say::line(format_args!("demo templates: {changed} of {all} published now")),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the demo templates are not published");
                say::line(format_args!("demo templates: not published: {error:#}"));
            }
        }
    }
}
