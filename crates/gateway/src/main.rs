//! The gateway as a process of its own.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use gateway::{DEFAULTS, Gateway, NAME, Reload, Settings};
use runtime::{config, shutdown::Shutdown, telemetry::Telemetry};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// A TOML file whose values go over the defaults.
    #[arg(long, env = "NNO_CONFIG_FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve HTTP until SIGTERM.
    Serve,
    /// Print the effective settings as JSON, secrets redacted.
    Config,
    /// Print the OpenAPI document of all services.
    Openapi,
    /// Ask the running gateway whether it and the services are ready; ends with 0 if so.
    Healthcheck,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let settings = || config::load::<Settings>(DEFAULTS, cli.config.as_deref());
    match cli.command {
        Command::Serve => serve(settings()?, cli.config.clone()).await,
        Command::Config => print(&settings()?),
        Command::Openapi => print(&gateway::document()?),
        // It is asked by clients, who show no certificate.
        Command::Healthcheck => web::healthcheck(settings()?.http.bind, None).await,
    }
}

async fn serve(settings: Settings, file: Option<PathBuf>) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(NAME, &settings.telemetry)?;
    let shutdown = Shutdown::new();
    shutdown.on_signal()?;
    let result = match Gateway::build(settings, shutdown) {
        Ok(gateway) => match reload_on_signal(gateway.reloader(), file) {
            Ok(()) => gateway.run().await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    telemetry.flush();
    result
}

/// Reads the settings anew at each SIGHUP.
fn reload_on_signal(reload: Reload, file: Option<PathBuf>) -> anyhow::Result<()> {
    let mut hung_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hung_up.recv().await.is_some() {
            reload.apply_and_tell(|| config::load::<Settings>(DEFAULTS, file.as_deref()));
        }
    });
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what a command was asked for")]
fn print(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
