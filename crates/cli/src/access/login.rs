//! `nno login` and `nno logout`.

use std::{
    io::{self, Read},
    process::ExitCode,
};

use anyhow::{Context, Result};
use runtime::config::Secret;

use super::{CommandError, exit_code, prompt, text, whoami};
use crate::{
    api::{self, Address, Connection, CredentialsStore, KeySource, Server},
    output,
};

/// Maximum number of bytes to read for a key: more than a header can carry.
const MAX_KEY_BYTES: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub struct LoginArgs {
    /// Read the key from standard input instead of the terminal
    #[arg(long, conflicts_with = "key_file")]
    key_stdin: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub struct LogoutArgs {
    /// URL of the API [default: the one of the last login, else http://127.0.0.1:8080]
    #[arg(long, env = "NNO_URL")]
    url: Option<String>,
    /// Remove the keys of all servers
    #[arg(long)]
    all: bool,
}

pub async fn login(args: LoginArgs) -> ExitCode {
    exit_code(log_in(&args).await)
}

pub fn logout(args: &LogoutArgs) -> ExitCode {
    exit_code(log_out(args).map_err(Into::into))
}

async fn log_in(args: &LoginArgs) -> Result<(), CommandError> {
    let store = store()?;
    let address = api::address(args.server.url.as_deref(), &store.read()?)?;
    let (source, key) = key(args, &address).await?;
    let connection = Connection { address, source, key };
    // Only a valid key is stored.
    let me = whoami::fetch(&connection).await?;
    let Connection { address, key, .. } = connection;
    store.update(|credentials| credentials.set(&address, key))?;
    output::print_line(format_args!("Logged in to {address} as {}.", text(&me, "id").unwrap_or_default()));
    note_environment_key();
    Ok(())
}

/// Reads the key from the file or stdin that an option names, else from the terminal. No option takes the key itself,
/// because other users of the machine can see options.
async fn key(args: &LoginArgs, address: &Address) -> Result<(KeySource, Secret)> {
    if let (Some(path), Some(key)) = (&args.server.key_file, args.server.key_from_file()?) {
        return Ok((KeySource::File(path.clone()), key));
    }
    if !args.key_stdin {
        return Ok((KeySource::Typed, prompt::secret(&format!("Key for {address}: ")).await?));
    }
    let mut text = String::new();
    io::stdin()
        .take(MAX_KEY_BYTES)
        .read_to_string(&mut text)
        .context("cannot read the key from standard input")?;
    Ok((KeySource::Typed, Secret::new(text.trim())))
}

fn log_out(args: &LogoutArgs) -> Result<()> {
    let store = store()?;
    let addresses = if args.all {
        store.read()?.addresses()
    } else {
        vec![api::address(args.url.as_deref(), &store.read()?)?]
    };
    for address in &addresses {
        // The file is not written if it has no key for the address.
        let removed = store.read()?.key(address).is_some()
            && store.update(|credentials| credentials.remove(address))?;
        output::print_line(if removed {
            format!("Logged out of {address}.")
        } else {
            format!("Not logged in to {address}.")
        });
    }
    if addresses.is_empty() {
        output::print_line("Not logged in anywhere.");
    }
    note_environment_key();
    Ok(())
}

fn store() -> Result<CredentialsStore> {
    CredentialsStore::of_user()
        .context("cannot store keys: neither XDG_CONFIG_HOME nor HOME is an absolute path")
}

fn note_environment_key() {
    if api::environment_has_key() {
        output::print_note("NNO_KEY is set and takes precedence over stored keys");
    }
}
