//! Which server a command asks, and with which key.

use std::{fmt, fs, path::PathBuf};

use anyhow::{Context, Result, anyhow};
use runtime::config::Secret;

use super::{
    address::Address,
    client::{Api, Failure},
    environment,
    kept::{Kept, Store},
};

const DEFAULT: &str = "http://127.0.0.1:8080";
const KEY: &str = "NNO_KEY";

/// The options of every command that asks a server.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// Where the API is [default: where the last `nno login` was, else http://127.0.0.1:8080]
    #[arg(long, env = "NNO_URL")]
    pub(crate) url: Option<String>,
    /// A file with the key, in place of NNO_KEY and of what `nno login` keeps
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// The address: the one that was given, else the current one, else that of a system on this machine.
///
/// # Errors
/// When what was given is none.
pub(crate) fn address(given: Option<&str>, kept: &Kept) -> Result<Address> {
    match (given_address(given)?, &kept.current) {
        (Some(address), _) => Ok(address),
        (None, Some(current)) => Ok(current.clone()),
        (None, None) => Address::parse(DEFAULT),
    }
}

fn given_address(given: Option<&str>) -> Result<Option<Address>> {
    given.filter(|url| !url.is_empty()).map(Address::parse).transpose()
}

/// Where a key is from.
#[derive(Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Environment,
    /// Typed, or from standard input.
    Typed,
    Kept,
}

/// A server, and the key for it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) address: Address,
    pub(crate) source: Source,
    pub(crate) key: Secret,
}

impl Server {
    /// The key in the file, if one was named.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn key_of_file(&self) -> Result<Option<Secret>> {
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Secret::new(text.trim()))
        };
        self.key_file.as_ref().map(read).transpose()
    }

    /// The server and the key for it: from the file that was named, else the environment, else what is kept.
    ///
    /// # Errors
    /// When there is no key, or what is kept must not be used.
    pub(crate) fn connect(&self) -> Result<Connection> {
        let given = match self.key_file.clone().zip(self.key_of_file()?) {
            Some((path, key)) => Some((Source::File(path), key)),
            None => environment::text(KEY).map(|key| (Source::Environment, Secret::new(key.trim()))),
        };
        let given = match (given_address(self.url.as_deref())?, given) {
            // What is kept is not looked at where nothing of it is needed.
            (Some(address), Some((source, key))) => return Ok(Connection { address, source, key }),
            (_, given) => given,
        };
        let kept = Store::of_user().map(|store| store.read()).transpose()?.unwrap_or_default();
        let address = address(self.url.as_deref(), &kept)?;
        let (source, key) = given
            .or_else(|| Some((Source::Kept, kept.key(&address)?.clone())))
            .ok_or_else(|| not_logged_in(&address, &kept))?;
        Ok(Connection { address, source, key })
    }
}

fn not_logged_in(address: &Address, kept: &Kept) -> anyhow::Error {
    let others = kept.addresses();
    let others = if others.is_empty() {
        String::new()
    } else {
        let others = others.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!(". Keys are kept for {others}: choose with --url")
    };
    anyhow!(
        "no key for {address}: `nno login --url {address}` asks for one and keeps it; or set {KEY}, or name a file that \
         has it with --key-file{others}"
    )
}

/// Whether the environment has a key, which goes before what is kept.
pub(crate) fn environment_has_key() -> bool {
    environment::text(KEY).is_some()
}

impl Connection {
    /// The API there.
    ///
    /// # Errors
    /// When the key can be none.
    pub(crate) fn api(&self, dry_run: bool) -> Result<Api> {
        Api::new(self.address.clone(), self.key.clone(), dry_run)
    }

    /// What went wrong, and what to do where it is the key.
    pub(crate) fn told(&self, failure: &Failure) -> String {
        if !failure.is("UNAUTHORIZED") {
            return failure.to_string();
        }
        let hint = match &self.source {
            Source::Kept => format!(
                "the key that is kept for {0} is not valid any more: it was revoked, has expired, or was replaced. \
                 `nno login --url {0}` asks for another",
                self.address
            ),
            source => format!("the key {source} is not valid at {}", self.address),
        };
        format!("{failure}\n  {hint}")
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Environment => write!(f, "in {KEY}"),
            Self::Typed => f.write_str("that was given"),
            Self::Kept => f.write_str("kept by nno login"),
        }
    }
}
