//! `nno`: the command people type.

mod process_keys;
mod say;
mod stack;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

#[derive(Parser)]
#[command(name = "nno", version, about = "A self-hosted control plane for platforms")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole system on this machine, until SIGTERM or Ctrl-C.
    Up(up::Args),
    /// Make the keys that the processes of the system know each other by, where they run one by one.
    ProcessKeys(process_keys::Args),
    /// Check and publish stack templates.
    Stack(stack::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Not `#[tokio::main]`: that would wait for whatever blocks a thread, however long.
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return say::failed(&error.into()),
    };
    let code = match cli.command {
        Command::Up(args) => runtime.block_on(up::run(args)),
        Command::Stack(args) => runtime.block_on(stack::run(args)),
        Command::ProcessKeys(args) => {
            process_keys::run(&args).map_or_else(|error| say::failed(&error), |()| ExitCode::SUCCESS)
        }
    };
    runtime.shutdown_background();
    code
}
