//! `nno login` and `nno logout`.

use std::{
    io::{self, Read},
    process::ExitCode,
};

use anyhow::{Context, Result};
use runtime::config::Secret;

use super::{Trouble, ended, prompt, text, whoami};
use crate::{
    api::{self, Address, Connection, Server, Source, Store},
    say,
};

/// The longest key that is read, in bytes: more than a header carries.
const LONGEST: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub struct LoginArgs {
    /// Read the key from standard input rather than ask for it on the terminal
    #[arg(long, conflicts_with = "key_file")]
    key_stdin: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub struct LogoutArgs {
    /// Where the API is [default: where the last login was, else http://127.0.0.1:8080]
    #[arg(long, env = "NNO_URL")]
    url: Option<String>,
    /// Forget the keys for all servers
    #[arg(long)]
    all: bool,
}

pub async fn login(args: LoginArgs) -> ExitCode {
    ended(log_in(&args).await)
}

pub fn logout(args: &LogoutArgs) -> ExitCode {
    ended(log_out(args).map_err(Into::into))
}

async fn log_in(args: &LoginArgs) -> Result<(), Trouble> {
    let store = store()?;
    let address = api::address(args.server.url.as_deref(), &store.read()?)?;
    let (source, key) = key(args, &address).await?;
    let connection = Connection { address, source, key };
    // Only what works is kept.
    let me = whoami::ask(&connection).await?;
    let Connection { address, key, .. } = connection;
    store.change(|kept| kept.keep(&address, key))?;
    say::line(format_args!("Logged in to {address} as {}.", text(&me, "id").unwrap_or_default()));
    tell_what_goes_before();
    Ok(())
}

/// From where it was said to be, else from the terminal. Never from an option, which others could see.
async fn key(args: &LoginArgs, address: &Address) -> Result<(Source, Secret)> {
    if let (Some(path), Some(key)) = (&args.server.key_file, args.server.key_of_file()?) {
        return Ok((Source::File(path.clone()), key));
    }
    if !args.key_stdin {
        return Ok((Source::Typed, prompt::secret(&format!("Key for {address}: ")).await?));
    }
    let mut text = String::new();
    io::stdin().take(LONGEST).read_to_string(&mut text).context("cannot read the key from standard input")?;
    Ok((Source::Typed, Secret::new(text.trim())))
}

fn log_out(args: &LogoutArgs) -> Result<()> {
    let store = store()?;
    let forget = if args.all {
        store.read()?.addresses()
    } else {
        vec![api::address(args.url.as_deref(), &store.read()?)?]
    };
    for address in &forget {
        // Nothing is written where there is nothing to forget.
        let known = store.read()?.key(address).is_some() && store.change(|kept| kept.forget(address))?;
        say::line(if known {
            format!("Logged out of {address}.")
        } else {
            format!("Not logged in to {address}.")
        });
    }
    if forget.is_empty() {
        say::line("Not logged in anywhere.");
    }
    tell_what_goes_before();
    Ok(())
}

fn store() -> Result<Store> {
    Store::of_user()
        .context("there is no place to keep keys in: neither XDG_CONFIG_HOME nor HOME names a folder")
}

fn tell_what_goes_before() {
    if api::environment_has_key() {
        say::note("NNO_KEY is set, and is used in place of any key that is kept");
    }
}
