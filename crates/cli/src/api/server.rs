//! The server of a command and the key for it.

use std::{fmt, fs, path::PathBuf};

use anyhow::{Context, Result, anyhow};
use runtime::config::Secret;

use super::{
    address::Address,
    client::{Api, Failure},
    credentials::{Credentials, CredentialsStore},
    environment,
};

const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const KEY_VARIABLE: &str = "NNO_KEY";

/// Options of every command that calls a server.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// URL of the API [default: the one of the last `nno login`, else http://127.0.0.1:8080]
    #[arg(long, env = "NNO_URL")]
    pub(crate) url: Option<String>,
    /// File with the key; takes precedence over NNO_KEY and the key stored by `nno login`
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// Returns the given address, else the one of the last login, else that of a system on this machine.
///
/// # Errors
/// When the given address is not valid.
pub(crate) fn address(given: Option<&str>, credentials: &Credentials) -> Result<Address> {
    match (given_address(given)?, &credentials.current) {
        (Some(address), _) => Ok(address),
        (None, Some(current)) => Ok(current.clone()),
        (None, None) => Address::parse(DEFAULT_URL),
    }
}

fn given_address(given: Option<&str>) -> Result<Option<Address>> {
    given.filter(|url| !url.is_empty()).map(Address::parse).transpose()
}

/// Origin of a key.
#[derive(Debug)]
pub(crate) enum KeySource {
    File(PathBuf),
    Environment,
    /// Typed on the terminal, or read from stdin.
    Typed,
    Stored,
}

/// A server and the key for it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) address: Address,
    pub(crate) source: KeySource,
    pub(crate) key: Secret,
}

impl Server {
    /// Reads the key from `--key-file`, if that was given.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn key_from_file(&self) -> Result<Option<Secret>> {
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Secret::new(text.trim()))
        };
        self.key_file.as_ref().map(read).transpose()
    }

    /// Returns the server and its key: from `--key-file`, else the environment, else the stored credentials.
    ///
    /// # Errors
    /// When there is no key, or the stored credentials are invalid or readable by others.
    pub(crate) fn connect(&self) -> Result<Connection> {
        let given = match self.key_file.clone().zip(self.key_from_file()?) {
            Some((path, key)) => Some((KeySource::File(path), key)),
            None => {
                environment::text(KEY_VARIABLE).map(|key| (KeySource::Environment, Secret::new(key.trim())))
            }
        };
        let given = match (given_address(self.url.as_deref())?, given) {
            // Unusable stored credentials do not matter if nothing of them is needed.
            (Some(address), Some((source, key))) => return Ok(Connection { address, source, key }),
            (_, given) => given,
        };
        let credentials =
            CredentialsStore::of_user().map(|store| store.read()).transpose()?.unwrap_or_default();
        let address = address(self.url.as_deref(), &credentials)?;
        let (source, key) = given
            .or_else(|| Some((KeySource::Stored, credentials.key(&address)?.clone())))
            .ok_or_else(|| not_logged_in(&address, &credentials))?;
        Ok(Connection { address, source, key })
    }
}

fn not_logged_in(address: &Address, credentials: &Credentials) -> anyhow::Error {
    let others = credentials.addresses();
    let others = if others.is_empty() {
        String::new()
    } else {
        let others = others.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!(". Keys are stored for {others}: choose one with --url")
    };
    anyhow!(
        "no key for {address}: store one with `nno login --url {address}`, or set {KEY_VARIABLE}, or use --key-file{others}"
    )
}

/// Returns true if the environment has a key, which takes precedence over stored ones.
pub(crate) fn environment_has_key() -> bool {
    environment::text(KEY_VARIABLE).is_some()
}

impl Connection {
    /// Creates a client.
    ///
    /// # Errors
    /// When the key has characters that a header cannot carry.
    pub(crate) fn api(&self, dry_run: bool) -> Result<Api> {
        Api::new(self.address.clone(), self.key.clone(), dry_run)
    }

    /// Describes a failure. For a rejected key it adds what to do.
    pub(crate) fn describe(&self, failure: &Failure) -> String {
        if !failure.is("UNAUTHORIZED") {
            return failure.to_string();
        }
        let hint = match &self.source {
            KeySource::Stored => format!(
                "the key stored for {0} is not valid any more: it was revoked, has expired, or was replaced. Store a new \
                 one with `nno login --url {0}`",
                self.address
            ),
            source => format!("the key {source} is not valid at {}", self.address),
        };
        format!("{failure}\n  {hint}")
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Environment => write!(f, "in {KEY_VARIABLE}"),
            Self::Typed => f.write_str("that was given"),
            Self::Stored => f.write_str("stored by nno login"),
        }
    }
}
