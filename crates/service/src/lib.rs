//! A service as a process: its settings, its subcommands, its start and its end.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use database::{Database, DatabaseSettings, Db, Migrations, Recount, Tally, housekeeping, migrate};
use futures_util::future::BoxFuture;
use identity::{
    IdentitySettings, KeyPair, Signer, Verifier,
    tls::{Tls, TlsSettings},
};
pub use rpc::Callers;
use rpc::{Access, GrpcSettings, Methods, Peers};
use runtime::{
    Probe, config,
    shutdown::Shutdown,
    telemetry::{Telemetry, TelemetrySettings},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{ToSchema, openapi::OpenApi};
use web::{HttpSettings, Routes};

/// The settings of a service: what all have, and under `service` what it alone has.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings<Own> {
    pub http: HttpSettings,
    pub grpc: GrpcSettings,
    pub database: DatabaseSettings,
    pub identity: IdentitySettings,
    pub telemetry: TelemetrySettings,
    pub tls: TlsSettings,
    #[schema(inline)]
    pub service: Own,
}

/// What a service is.
pub trait Service: Sized + 'static {
    /// Its name: of the process, of its key, of its audience.
    const NAME: &'static str;
    /// Its commented `default.toml`.
    const DEFAULTS: &'static str;
    /// What it alone can be told.
    type Own: Serialize + DeserializeOwned + ToSchema + Clone + Send + 'static;

    /// Its migrations, the shared ones among them.
    fn migrations() -> Migrations;

    /// Its lists whose totals come from counters, beside the shared ones.
    fn tallies() -> &'static [Tally] {
        &[]
    }

    /// The document of its HTTP API.
    fn openapi() -> OpenApi;

    /// Its gRPC methods, with the processes that may call each.
    fn grpc_callers() -> Vec<(&'static str, Callers)>;

    /// Starts it.
    fn build(
        settings: Settings<Self::Own>,
        shutdown: Shutdown,
    ) -> impl Future<Output = Result<Application>> + Send;
}

/// What every service is made of once its settings are read.
#[derive(Debug, Clone)]
pub struct Parts {
    pub name: &'static str,
    pub database: Database,
    /// The pool of gRPC and of the background workers.
    pub background: Db,
    pub verifier: Verifier,
    pub peers: Peers,
    pub shutdown: Shutdown,
    /// What `/ready` tells beside the database.
    pub probes: Vec<Probe>,
    http: HttpSettings,
    grpc: GrpcSettings,
    recount: Recount,
    recount_every: Duration,
}

/// A service that runs.
pub struct Application {
    /// Where it serves HTTP.
    pub http: SocketAddr,
    /// Where it serves gRPC.
    pub grpc: SocketAddr,
    run: BoxFuture<'static, Result<()>>,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Application(http {}, grpc {})", self.http, self.grpc)
    }
}

impl Application {
    /// Runs until its shutdown has begun and all that was under way has ended.
    ///
    /// # Errors
    /// When a server ends by itself.
    pub async fn run(self) -> Result<()> {
        self.run.await
    }
}

impl Parts {
    /// Reads keys and makes pools.
    ///
    /// # Errors
    /// When a key cannot be read, or the database has a schema that this binary does not know.
    pub async fn new<S: Service>(settings: &Settings<S::Own>, shutdown: Shutdown) -> Result<Self> {
        let database = Database::new(S::NAME, &settings.database);
        let background = database.background()?;
        let keys = &settings.identity.keys_dir;
        let tls = Tls::read(&settings.tls)?;
        if let Some(tls) = &tls {
            tls.keep_current(&shutdown);
        }
        let parts = Self {
            name: S::NAME,
            database,
            recount: Recount::new(background.clone(), S::tallies()),
            recount_every: settings.database.recount_every,
            background,
            verifier: Verifier::read(S::NAME, keys)?,
            peers: Peers { signer: Signer::new(S::NAME, &KeyPair::read(keys, S::NAME)?)?, tls },
            shutdown,
            probes: Vec::new(),
            http: settings.http.clone(),
            grpc: settings.grpc.clone(),
        };
        let mut connection = parts
            .background
            .own_conn()
            .await
            .map_err(|error| anyhow::anyhow!("{}: {}", error.message(), error.log_context()))?;
        migrate::check(&mut connection, &S::migrations()).await?;
        Ok(parts)
    }

    /// Starts both servers and the housekeeping. `state` is made once per HTTP worker thread.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn start<App, S, A>(
        self,
        migrations: fn() -> Migrations,
        routes: Routes,
        state: impl Fn() -> Result<App> + Send + Clone + 'static,
        methods: Methods<S, A>,
    ) -> Result<Application>
    where
        App: 'static,
        S: rpc::Service,
        A: Clone + Send + Sync + 'static,
    {
        let access = Access::new(self.verifier.clone(), methods.callers());
        let grpc_routes = tonic::service::Routes::new(methods).add_service(rpc::reflection()?);
        let bound = |address: SocketAddr| format!("cannot listen on {address}");
        let http_listener =
            std::net::TcpListener::bind(self.http.bind).with_context(|| bound(self.http.bind))?;
        let grpc_listener =
            tokio::net::TcpListener::bind(self.grpc.bind).await.with_context(|| bound(self.grpc.bind))?;
        let (http_addr, grpc_addr) = (http_listener.local_addr()?, grpc_listener.local_addr()?);
        housekeeping(&self.shutdown, self.background.clone());
        self.recount.clone().start(self.recount_every, &self.shutdown);
        let probes = std::iter::once(self.database_probe(migrations)).chain(self.probes).collect();
        let shared = web::Shared { settings: self.http, verifier: self.verifier, probes };
        let tls = self.peers.tls;
        let http = web::serve(http_listener, tls.as_ref(), shared, self.shutdown.clone(), routes, state)?;
        let grpc = tokio::spawn(rpc::serve(grpc_listener, tls, grpc_routes, access, self.shutdown.clone()));
        let http = tokio::spawn(http);
        tracing::info!(service = self.name, http = %http_addr, grpc = %grpc_addr, "serving");
        let shutdown = self.shutdown;
        let run = Box::pin(async move {
            let (http, grpc) = tokio::join!(http, grpc);
            // A server that ended by itself takes the service down, so that its supervisor sees it.
            shutdown.begin();
            shutdown.drained().await;
            http??;
            grpc??;
            Ok(())
        });
        Ok(Application { http: http_addr, grpc: grpc_addr, run })
    }

    fn database_probe(&self, migrations: fn() -> Migrations) -> Probe {
        let db = self.background.clone();
        Probe::needed("database", move || {
            let db = db.clone();
            Box::pin(async move {
                if db.disk_is_full() {
                    return Err("the disk of the database is full: writes fail".to_owned());
                }
                let mut connection = db.own_conn().await.map_err(|error| error.message().to_owned())?;
                // The cause is in the log; a probe's answer is public.
                migrate::check(&mut connection, &migrations()).await.map_err(|error| {
                    tracing::warn!(%error, "not ready");
                    "the database does not answer or its schema is not known".to_owned()
                })
            })
        })
    }
}

#[derive(Parser)]
#[command(version)]
struct Cli {
    /// A TOML file whose values go over the defaults.
    #[arg(long, env = "NNO_CONFIG_FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve HTTP and gRPC until SIGTERM.
    Serve,
    /// Bring the database to this binary's schema, as its owner, and end.
    Migrate,
    /// Print the OpenAPI document.
    Openapi,
    /// Print the effective settings as JSON, secrets redacted.
    Config,
    /// Ask the running service whether it is ready; ends with 0 if so.
    Healthcheck,
}

/// The `main` of a service.
///
/// # Errors
/// Whatever kept it from starting or ended it.
pub async fn main<S: Service>() -> Result<()> {
    // All crates have one version; the name is the service's.
    let cli = Cli::from_arg_matches(&Cli::command().name(S::NAME).get_matches())
        .unwrap_or_else(|error| error.exit());
    let settings = || config::load::<Settings<S::Own>>(S::DEFAULTS, cli.config.as_deref());
    match cli.command {
        Command::Serve => serve::<S>(settings()?).await,
        Command::Migrate => {
            let ran = migrate::run(settings()?.database.owner_url.expose(), S::migrations()).await?;
            say(&format!("{}: {} migrations ran", S::NAME, ran.len()));
            Ok(())
        }
        Command::Openapi => {
            say(&S::openapi().to_pretty_json()?);
            Ok(())
        }
        Command::Config => {
            say(&serde_json::to_string_pretty(&settings()?)?);
            Ok(())
        }
        Command::Healthcheck => {
            let settings = settings()?;
            web::healthcheck(settings.http.bind, Tls::read(&settings.tls)?).await
        }
    }
}

#[expect(clippy::print_stdout, reason = "what a command was asked for")]
fn say(text: &str) {
    println!("{text}");
}

async fn serve<S: Service>(settings: Settings<S::Own>) -> Result<()> {
    let telemetry = Telemetry::start(S::NAME, &settings.telemetry)?;
    let shutdown = Shutdown::new();
    shutdown.on_signal()?;
    let result = match S::build(settings, shutdown).await {
        Ok(application) => application.run().await,
        Err(error) => Err(error),
    };
    telemetry.flush();
    result
}
