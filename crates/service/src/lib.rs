//! The process of a service: settings, subcommands, startup and shutdown.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use database::{CounterSource, Database, DatabaseSettings, Db, Migrations, Recount, housekeeping, migrate};
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

/// The settings of a service: those that all services have, and its specific ones under `service`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings<Specific> {
    pub http: HttpSettings,
    pub grpc: GrpcSettings,
    pub database: DatabaseSettings,
    pub identity: IdentitySettings,
    pub telemetry: TelemetrySettings,
    pub tls: TlsSettings,
    #[schema(inline)]
    pub service: Specific,
}

/// A service.
pub trait Service: Sized + 'static {
    /// The name of the process, of its key, and of its audience.
    const NAME: &'static str;
    /// The commented `default.toml`.
    const DEFAULTS: &'static str;
    /// The settings that only this service has.
    type Settings: Serialize + DeserializeOwned + ToSchema + Clone + Send + 'static;

    /// The migrations, including the shared ones.
    fn migrations() -> Migrations;

    /// The lists whose totals come from counters, in addition to the shared ones.
    fn counter_sources() -> &'static [CounterSource] {
        &[]
    }

    /// The OpenAPI document of the HTTP API.
    fn openapi() -> OpenApi;

    /// The gRPC methods, with the processes that may call each.
    fn grpc_callers() -> Vec<(&'static str, Callers)>;

    /// Starts the service.
    fn build(
        settings: Settings<Self::Settings>,
        shutdown: Shutdown,
    ) -> impl Future<Output = Result<Application>> + Send;
}

/// Builds a service from its settings. Contains the components that all services have.
#[derive(Debug, Clone)]
pub struct ServiceBuilder {
    pub name: &'static str,
    pub database: Database,
    /// The connection pool of gRPC and of the background workers.
    pub background: Db,
    pub verifier: Verifier,
    pub peers: Peers,
    pub shutdown: Shutdown,
    /// The probes of `/ready` in addition to the database.
    pub probes: Vec<Probe>,
    http: HttpSettings,
    grpc: GrpcSettings,
    recount: Recount,
    recount_every: Duration,
}

/// A running service.
pub struct Application {
    /// The address of the HTTP server.
    pub http: SocketAddr,
    /// The address of the gRPC server.
    pub grpc: SocketAddr,
    run: BoxFuture<'static, Result<()>>,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Application(http {}, grpc {})", self.http, self.grpc)
    }
}

impl Application {
    /// Runs until the shutdown has begun and all work in progress has ended.
    ///
    /// # Errors
    /// When a server ends without a shutdown.
    pub async fn run(self) -> Result<()> {
        self.run.await
    }
}

impl ServiceBuilder {
    /// Reads the keys and creates the connection pools.
    ///
    /// # Errors
    /// When a key cannot be read, or the database does not have this binary's schema.
    pub async fn new<S: Service>(settings: &Settings<S::Settings>, shutdown: Shutdown) -> Result<Self> {
        let database = Database::new(S::NAME, &settings.database);
        let background = database.background()?;
        let keys = &settings.identity.keys_dir;
        let tls = Tls::read(&settings.tls)?;
        if let Some(tls) = &tls {
            tls.reload_periodically(&shutdown);
        }
        let builder = Self {
            name: S::NAME,
            database,
            recount: Recount::new(background.clone(), S::counter_sources()),
            recount_every: settings.database.recount_every,
            background,
            verifier: Verifier::read(S::NAME, keys)?,
            peers: Peers { signer: Signer::new(S::NAME, &KeyPair::read(keys, S::NAME)?)?, tls },
            shutdown,
            probes: Vec::new(),
            http: settings.http.clone(),
            grpc: settings.grpc.clone(),
        };
        let mut connection = builder
            .background
            .service_conn()
            .await
            .map_err(|error| anyhow::anyhow!("{}: {}", error.message(), error.log_context()))?;
        migrate::check(&mut connection, &S::migrations()).await?;
        Ok(builder)
    }

    /// Starts both servers and the housekeeping. `state` is called once per HTTP worker thread.
    ///
    /// # Errors
    /// When an address is already in use.
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
        let cannot_listen = |address: SocketAddr| format!("cannot listen on {address}");
        let http_listener =
            std::net::TcpListener::bind(self.http.bind).with_context(|| cannot_listen(self.http.bind))?;
        let grpc_listener = tokio::net::TcpListener::bind(self.grpc.bind)
            .await
            .with_context(|| cannot_listen(self.grpc.bind))?;
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
            // If one server ends by itself, the whole service stops, so that its supervisor notices.
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
        Probe::required("database", move || {
            let db = db.clone();
            Box::pin(async move {
                if db.disk_is_full() {
                    return Err("the disk of the database is full; writes fail".to_owned());
                }
                let mut connection = db.service_conn().await.map_err(|error| error.message().to_owned())?;
                // The cause is only logged, because the response of a probe is public.
                migrate::check(&mut connection, &migrations()).await.map_err(|error| {
                    tracing::warn!(%error, "not ready");
                    "the database does not respond or does not have the expected schema".to_owned()
                })
            })
        })
    }
}

#[derive(Parser)]
#[command(version)]
struct Cli {
    /// A TOML file whose values override the defaults.
    #[arg(long, env = "NNO_CONFIG_FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve HTTP and gRPC until SIGTERM.
    Serve,
    /// Migrate the database to this binary's schema, as its owner, and exit.
    Migrate,
    /// Print the OpenAPI document.
    Openapi,
    /// Print the effective settings as JSON, with secrets redacted.
    Config,
    /// Check that the running service is ready; exits with 0 if it is.
    Healthcheck,
}

/// The `main` function of a service.
///
/// # Errors
/// When the service cannot start, or ends without a shutdown.
pub async fn main<S: Service>() -> Result<()> {
    // All crates share one version, so only the name differs between services.
    let cli = Cli::from_arg_matches(&Cli::command().name(S::NAME).get_matches())
        .unwrap_or_else(|error| error.exit());
    let settings = || config::load::<Settings<S::Settings>>(S::DEFAULTS, cli.config.as_deref());
    match cli.command {
        Command::Serve => serve::<S>(settings()?).await,
        Command::Migrate => {
            let ran = migrate::run(settings()?.database.owner_url.expose(), S::migrations()).await?;
            print_line(&format!("{}: {} migrations ran", S::NAME, ran.len()));
            Ok(())
        }
        Command::Openapi => {
            print_line(&S::openapi().to_pretty_json()?);
            Ok(())
        }
        Command::Config => {
            print_line(&serde_json::to_string_pretty(&settings()?)?);
            Ok(())
        }
        Command::Healthcheck => {
            let settings = settings()?;
            web::healthcheck(settings.http.bind, Tls::read(&settings.tls)?).await
        }
    }
}

#[expect(clippy::print_stdout, reason = "the output of a command")]
fn print_line(text: &str) {
    println!("{text}");
}

async fn serve<S: Service>(settings: Settings<S::Settings>) -> Result<()> {
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
