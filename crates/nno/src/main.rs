//! `nno`: the command people type.

mod process_keys;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cli::{access, say, stack};
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
    /// Check a key, and keep it for later commands; without options it is asked for on the terminal.
    Login(access::LoginArgs),
    /// Forget the key that is kept; it goes on to work until it is revoked.
    Logout(access::LogoutArgs),
    /// Who you are to the server, and what you hold.
    Whoami(access::WhoamiArgs),
    /// Make, list and revoke API keys.
    Keys(access::KeysArgs),
    /// Whether you may do something, and why. Ends with 0 for yes, 1 for no, 2 when it cannot be found out.
    Can(access::CanArgs),
    /// Check and publish stack templates.
    Stack(stack::Args),
    /// Make the keys that the processes of the system know each other by, where they run one by one.
    ProcessKeys(process_keys::Args),
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
        Command::Login(args) => runtime.block_on(access::login(args)),
        Command::Logout(args) => access::logout(&args),
        Command::Whoami(args) => runtime.block_on(access::whoami(args)),
        Command::Keys(args) => runtime.block_on(access::keys(args)),
        Command::Can(args) => runtime.block_on(access::can(args)),
        Command::ProcessKeys(args) => {
            process_keys::run(&args).map_or_else(|error| say::failed(&error), |()| ExitCode::SUCCESS)
        }
    };
    runtime.shutdown_background();
    code
}
