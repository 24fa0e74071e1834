//! The gateway's process.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use gateway::{DEFAULTS, Gateway, NAME, Reload, Settings};
use runtime::{config, shutdown::Shutdown, telemetry::Telemetry};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// A TOML file whose values override the defaults.
    #[arg(long, env = "NNO_CONFIG_FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve HTTP until SIGTERM.
    Serve,
    /// Print the effective settings as JSON, with secrets redacted.
    Config,
    /// Print the OpenAPI document of all services.
    Openapi,
    /// Check that the running gateway and the services are ready; exits with 0 if they are.
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
        // The gateway serves its clients without TLS.
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

/// Reloads the settings on each SIGHUP.
fn reload_on_signal(reload: Reload, file: Option<PathBuf>) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload.apply_and_log(|| config::load::<Settings>(DEFAULTS, file.as_deref()));
        }
    });
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the output of a command")]
fn print(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
