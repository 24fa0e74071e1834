//! `nno keys`: the API keys that callers have.

use std::process::ExitCode;

use anyhow::Context;
use domain::{Fault, Role};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Trouble, ended, reach, table, text, with};
use crate::{
    api::{Failure, Server},
    say::{self, Output},
};

const PATH: &str = "/api/v1/iam/keys";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key, and print it: it is shown this once.
    Create(Create),
    /// List the keys that you could make, newest first.
    List(List),
    /// Revoke a key, at once.
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// What people call it
    name: String,
    /// What it may do
    #[arg(long, value_parser = Role::parse, help = format!("What it may do: {}", roles()))]
    role: Role,
    /// The platform that it reaches [default: all of them]
    #[arg(long, value_name = "ID")]
    platform: Option<String>,
    /// The entity of the platform that it reaches, with what is under it [default: all of the platform]
    #[arg(long, value_name = "ID", requires = "platform")]
    entity: Option<String>,
    /// When it ends: 1 to 3650 [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3650))]
    expires_in_days: Option<u16>,
    #[command(flatten)]
    server: Server,
    /// How the answer is told; in text the key is all that stdout has
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct List {
    /// All pages, not the first alone
    #[arg(long)]
    all: bool,
    /// Those of one platform and of its entities
    #[arg(long, value_name = "ID")]
    platform: Option<String>,
    /// Those that are revoked too
    #[arg(long)]
    include_revoked: bool,
    #[command(flatten)]
    server: Server,
    /// How the answer is told
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Revoke {
    /// The id of the key, as `nno keys list` tells it
    id: Uuid,
    #[command(flatten)]
    server: Server,
    /// How the answer is told
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

fn roles() -> String {
    Role::ALL.iter().map(Role::as_str).collect::<Vec<_>>().join(", ")
}

pub async fn run(args: Args) -> ExitCode {
    ended(match &args.command {
        Command::Create(create) => make(create).await,
        Command::List(list) => tell(list).await,
        Command::Revoke(revoke) => end(revoke).await,
    })
}

async fn make(args: &Create) -> Result<(), Trouble> {
    let connection = args.server.connect()?;
    let made = connection
        .api(false)?
        .write(Method::POST, PATH, &args.body())
        .await
        .map_err(|failure| Trouble::at(&connection)(args.in_words(failure)))?;
    let Some(key) = text(&made, "key") else {
        return Err(Trouble::Refused(format!("{} did not tell the key", connection.address)));
    };
    let id = text(&made, "id").unwrap_or_default();
    let told = match args.output {
        Output::Json => say::once(&made),
        Output::Text => say::once(key),
    };
    told.with_context(|| {
        format!("the key is lost, have it revoked (`nno keys revoke {id}`): cannot write it")
    })?;
    let role = text(&made, "role").unwrap_or_default();
    let until = text(&made, "expiresAt").map_or_else(String::new, |at| format!(", until {at}"));
    say::note(format_args!(
        "key {id} is {role} of {}{until}. It is not shown again: keep it now",
        reach(&made)
    ));
    Ok(())
}

impl Create {
    fn body(&self) -> Value {
        let given = [
            ("platformId", self.platform.as_ref().map(|id| json!(id))),
            ("entityId", self.entity.as_ref().map(|id| json!(id))),
            ("expiresInDays", self.expires_in_days.map(|days| json!(days))),
        ];
        with(json!({ "name": self.name, "role": self.role }), given)
    }

    /// Faults by what was typed.
    fn in_words(&self, mut failure: Failure) -> Failure {
        let words = [
            ("name", "NAME"),
            ("role", "--role"),
            ("platformId", "--platform"),
            ("entityId", "--entity"),
            ("expiresInDays", "--expires-in-days"),
        ];
        if let Failure::Refused { faults, .. } = &mut failure {
            for Fault { path, .. } in faults {
                if let Some((_, word)) = words.iter().find(|(field, _)| field == path) {
                    (*word).clone_into(path);
                }
            }
        }
        failure
    }
}

async fn tell(args: &List) -> Result<(), Trouble> {
    let connection = args.server.connect()?;
    let (api, mut keys, mut page) = (connection.api(false)?, Vec::new(), Value::Null);
    loop {
        let query = args.query(text(&page, "nextCursor"));
        let mut answer = api.find(PATH, &query).await.map_err(Trouble::at(&connection))?;
        if let Some(Value::Array(more)) = answer.get_mut("data").map(Value::take) {
            keys.extend(more);
        }
        page = answer.get_mut("pagination").map(Value::take).unwrap_or_default();
        if !args.all || text(&page, "nextCursor").is_none() {
            break;
        }
    }
    match args.output {
        Output::Json => say::line(json!({ "data": keys, "pagination": page })),
        Output::Text => {
            table::lines(&rows(&keys)).into_iter().for_each(say::line);
            if text(&page, "nextCursor").is_some() {
                let total = page.get("total").and_then(Value::as_i64).unwrap_or_default();
                say::note(format_args!("{} of {total} keys; --all lists the others too", keys.len()));
            }
        }
    }
    Ok(())
}

impl List {
    fn query<'a>(&'a self, cursor: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
        let mut query = vec![("limit", "100")];
        query.extend(self.platform.as_deref().map(|id| ("platformId", id)));
        query.extend(self.include_revoked.then_some(("includeRevoked", "true")));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        query
    }
}

fn rows(keys: &[Value]) -> Vec<[String; 7]> {
    let head = ["ID", "NAME", "ROLE", "REACHES", "CREATED", "LAST USED", "ENDS"].map(str::to_owned);
    std::iter::once(head).chain(keys.iter().map(row)).collect()
}

fn row(key: &Value) -> [String; 7] {
    let of = |field| text(key, field).unwrap_or_default().to_owned();
    let at = |field, none: &str| text(key, field).map_or_else(|| none.to_owned(), minute);
    let ends = text(key, "revokedAt")
        .map_or_else(|| at("expiresAt", "never"), |revoked| format!("revoked {}", minute(revoked)));
    [of("id"), of("name"), of("role"), reach(key), at("createdAt", ""), at("lastUsedAt", "never"), ends]
}

/// A time to the minute; all of them are UTC.
fn minute(time: &str) -> String {
    match time.get(..16) {
        Some(minute) => format!("{}Z", minute.replace('T', " ")),
        None => time.to_owned(),
    }
}

async fn end(args: &Revoke) -> Result<(), Trouble> {
    let connection = args.server.connect()?;
    let answer = connection
        .api(false)?
        .delete(&format!("{PATH}/{}", args.id))
        .await
        .map_err(Trouble::at(&connection))?;
    match args.output {
        Output::Json => say::line(&answer),
        Output::Text => say::line(format_args!("Key {} is revoked.", args.id)),
    }
    Ok(())
}
