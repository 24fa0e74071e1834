//! `nno login`, `logout`, `whoami`, `keys` and `can`: identity and permissions on a server.
//!
//! The exit code is 0 on success, 2 if the command cannot start (usage, files, no key), and 3 if the server rejects the
//! request or cannot be reached. `nno can` exits with 0 for yes, 1 for no, and 2 for every error.

mod can;
mod keys;
mod login;
mod prompt;
mod table;
mod whoami;

use std::process::ExitCode;

use serde_json::Value;

pub use self::{
    can::{Args as CanArgs, run as can},
    keys::{Args as KeysArgs, run as keys},
    login::{LoginArgs, LogoutArgs, login, logout},
    whoami::{Args as WhoamiArgs, run as whoami},
};
use crate::{
    api::{Connection, Failure},
    output,
};

/// Exit code if the command cannot start.
const UNUSABLE: u8 = 2;
/// Exit code if the server rejects the request or cannot be reached.
const REJECTED: u8 = 3;

/// Reason for a failed command.
#[derive(Debug)]
enum CommandError {
    Unusable(anyhow::Error),
    /// Message for the user.
    Server(String),
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self::Unusable(error)
    }
}

impl CommandError {
    /// Converts failures of a request that was sent over `connection`.
    fn of(connection: &Connection) -> impl Fn(Failure) -> Self {
        |failure| Self::Server(connection.describe(&failure))
    }

    /// Prints the error and returns the exit code.
    fn report(self) -> u8 {
        match self {
            Self::Unusable(error) => {
                output::print_note(format_args!("{error:#}"));
                UNUSABLE
            }
            Self::Server(message) => {
                output::print_note(message);
                REJECTED
            }
        }
    }
}

fn exit_code(outcome: Result<(), CommandError>) -> ExitCode {
    outcome.map_or_else(|error| ExitCode::from(error.report()), |()| ExitCode::SUCCESS)
}

/// Returns a string field of a response.
fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

/// Adds the fields that have a value.
fn with_present(mut body: Value, fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    if let Some(body) = body.as_object_mut() {
        body.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    body
}

/// Describes the scope of a grant or key.
fn scope(holder: &Value) -> String {
    match (text(holder, "platformId"), text(holder, "entityId")) {
        (Some(platform), Some(entity)) => {
            format!("entity {entity} of platform {platform}, and what is under it")
        }
        (Some(platform), None) => format!("platform {platform}"),
        (None, _) => "all platforms".to_owned(),
    }
}
