//! `nno`: the command-line program.

mod process_keys;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cli::{access, output, stack};
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
    ///
    /// On a terminal it shows each step with its duration, then the addresses, the path of the operator's key and the
    /// next command. Log lines are JSON, in logs/nno.log of the data folder (at most 6 files of 10 MiB). They also go to
    /// stderr if stdout is not a terminal, or with --log-requests.
    Up(up::Args),
    /// Check a key and store it for later commands; prompts for the key unless an option has it.
    Login(access::LoginArgs),
    /// Remove the stored key; the key stays valid until it is revoked.
    Logout(access::LogoutArgs),
    /// Show your identity and your grants.
    Whoami(access::WhoamiArgs),
    /// Create, list and revoke API keys.
    Keys(access::KeysArgs),
    /// Check whether an action is allowed, and why. Exits with 0 for yes, 1 for no, 2 if the check fails.
    Can(access::CanArgs),
    /// Check and publish stack templates.
    Stack(stack::Args),
    /// Create the signing keys of the system's processes, for deployments that run them separately.
    ProcessKeys(process_keys::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // `#[tokio::main]` would wait for blocked threads at the end, without a limit.
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(&error.into()),
    };
    let code = match cli.command {
        Command::Up(args) => runtime.block_on(up::run(args)),
        Command::Stack(args) => runtime.block_on(stack::run(args)),
        Command::Login(args) => runtime.block_on(access::login(args)),
        Command::Logout(args) => access::logout(&args),
        Command::Whoami(args) => runtime.block_on(access::whoami(args)),
        Command::Keys(args) => runtime.block_on(access::keys(args)),
        Command::Can(args) => runtime.block_on(access::can(args)),
        Command::ProcessKeys(args) => {
            process_keys::run(&args).map_or_else(|error| output::fail(&error), |()| ExitCode::SUCCESS)
        }
    };
    runtime.shutdown_background();
    code
}
