//! `nno login`, `logout`, `whoami`, `keys` and `can`: who someone is to a server, and what they may do there.
//!
//! They end with 0 when all is well, 2 when they cannot begin (usage, files, no key), and 3 when the server refuses or
//! cannot be reached. `nno can` ends with 0 for yes, 1 for no, and 2 when it cannot be found out.

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
    say,
};

/// It cannot begin.
const UNUSABLE: u8 = 2;
/// The server refused, or cannot be reached.
const REFUSED: u8 = 3;

/// Why there is no answer.
#[derive(Debug)]
enum Trouble {
    Unusable(anyhow::Error),
    /// What is told of it.
    Refused(String),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Unusable(error)
    }
}

impl Trouble {
    /// What the server said to the bearer of the connection's key.
    fn at(connection: &Connection) -> impl Fn(Failure) -> Self {
        |failure| Self::Refused(connection.told(&failure))
    }

    /// Tells it, and the code to end with.
    fn code(self) -> u8 {
        match self {
            Self::Unusable(error) => {
                say::note(format_args!("{error:#}"));
                UNUSABLE
            }
            Self::Refused(told) => {
                say::note(told);
                REFUSED
            }
        }
    }
}

fn ended(outcome: Result<(), Trouble>) -> ExitCode {
    outcome.map_or_else(|trouble| ExitCode::from(trouble.code()), |()| ExitCode::SUCCESS)
}

/// A text of an answer; none where there is none.
fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

/// A body with the fields that there is something to say of.
fn with(mut body: Value, fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    if let Some(body) = body.as_object_mut() {
        body.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    body
}

/// How far a grant or a key reaches, in words.
fn reach(of: &Value) -> String {
    match (text(of, "platformId"), text(of, "entityId")) {
        (Some(platform), Some(entity)) => {
            format!("entity {entity} of platform {platform}, and what is under it")
        }
        (Some(platform), None) => format!("platform {platform}"),
        (None, _) => "all platforms".to_owned(),
    }
}
