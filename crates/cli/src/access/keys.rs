//! `nno keys`: API keys.

use std::process::ExitCode;

use anyhow::Context;
use domain::{Fault, Role};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{CommandError, exit_code, scope, table, text, with_present};
use crate::{
    api::{Failure, Server},
    output::{self, OutputFormat},
};

const PATH: &str = "/api/v1/iam/keys";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create a key and print it; it is not shown again.
    Create(Create),
    /// List the keys within your own grants, newest first.
    List(List),
    /// Revoke a key immediately.
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Name of the key
    name: String,
    #[arg(long, value_parser = Role::parse, help = format!("Role of the key: {}", roles()))]
    role: Role,
    /// Platform that the key is limited to [default: all platforms]
    #[arg(long, value_name = "ID")]
    platform: Option<String>,
    /// Entity that the key is limited to, with its descendants [default: the whole platform]
    #[arg(long, value_name = "ID", requires = "platform")]
    entity: Option<String>,
    /// Lifetime in days: 1 to 3650 [default: unlimited]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3650))]
    expires_in_days: Option<u16>,
    #[command(flatten)]
    server: Server,
    /// Format of the result; in text, stdout has only the key
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
struct List {
    /// List all pages instead of only the first
    #[arg(long)]
    all: bool,
    /// List only keys of this platform and its entities
    #[arg(long, value_name = "ID")]
    platform: Option<String>,
    /// Include revoked keys
    #[arg(long)]
    include_revoked: bool,
    #[command(flatten)]
    server: Server,
    /// Format of the result
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
struct Revoke {
    /// Id of the key, as shown by `nno keys list`
    id: Uuid,
    #[command(flatten)]
    server: Server,
    /// Format of the result
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

fn roles() -> String {
    Role::ALL.iter().map(Role::as_str).collect::<Vec<_>>().join(", ")
}

pub async fn run(args: Args) -> ExitCode {
    exit_code(match &args.command {
        Command::Create(args) => create(args).await,
        Command::List(args) => list(args).await,
        Command::Revoke(args) => revoke(args).await,
    })
}

async fn create(args: &Create) -> Result<(), CommandError> {
    let connection = args.server.connect()?;
    let created = connection
        .api(false)?
        .write(Method::POST, PATH, &args.body())
        .await
        .map_err(|failure| CommandError::of(&connection)(args.name_options(failure)))?;
    let Some(key) = text(&created, "key") else {
        return Err(CommandError::Server(format!("the response of {} has no key", connection.address)));
    };
    let id = text(&created, "id").unwrap_or_default();
    let printed = match args.output {
        OutputFormat::Json => output::try_print_line(&created),
        OutputFormat::Text => output::try_print_line(key),
    };
    printed.with_context(|| {
        format!("cannot print the key, so it is lost: revoke it with `nno keys revoke {id}`")
    })?;
    let role = text(&created, "role").unwrap_or_default();
    let until = text(&created, "expiresAt").map_or_else(String::new, |at| format!(", until {at}"));
    output::print_note(format_args!(
        "key {id} is {role} of {}{until}. It is not shown again: keep it now",
        scope(&created)
    ));
    Ok(())
}

impl Create {
    fn body(&self) -> Value {
        let options = [
            ("platformId", self.platform.as_ref().map(|id| json!(id))),
            ("entityId", self.entity.as_ref().map(|id| json!(id))),
            ("expiresInDays", self.expires_in_days.map(|days| json!(days))),
        ];
        with_present(json!({ "name": self.name, "role": self.role }), options)
    }

    /// Replaces the field names in faults by the names of the options.
    fn name_options(&self, mut failure: Failure) -> Failure {
        let options = [
            ("name", "NAME"),
            ("role", "--role"),
            ("platformId", "--platform"),
            ("entityId", "--entity"),
            ("expiresInDays", "--expires-in-days"),
        ];
        if let Failure::Rejected { faults, .. } = &mut failure {
            for Fault { path, .. } in faults {
                if let Some((_, option)) = options.iter().find(|(field, _)| field == path) {
                    (*option).clone_into(path);
                }
            }
        }
        failure
    }
}

async fn list(args: &List) -> Result<(), CommandError> {
    let connection = args.server.connect()?;
    let (api, mut keys, mut page) = (connection.api(false)?, Vec::new(), Value::Null);
    loop {
        let query = args.query(text(&page, "nextCursor"));
        let mut body = api.list(PATH, &query).await.map_err(CommandError::of(&connection))?;
        if let Some(Value::Array(more)) = body.get_mut("data").map(Value::take) {
            keys.extend(more);
        }
        page = body.get_mut("pagination").map(Value::take).unwrap_or_default();
        if !args.all || text(&page, "nextCursor").is_none() {
            break;
        }
    }
    match args.output {
        OutputFormat::Json => output::print_line(json!({ "data": keys, "pagination": page })),
        OutputFormat::Text => {
            table::lines(&rows(&keys)).into_iter().for_each(output::print_line);
            if text(&page, "nextCursor").is_some() {
                let total = page.get("total").and_then(Value::as_i64).unwrap_or_default();
                output::print_note(format_args!(
                    "{} of {total} keys shown; use --all to list all",
                    keys.len()
                ));
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
    [of("id"), of("name"), of("role"), scope(key), at("createdAt", ""), at("lastUsedAt", "never"), ends]
}

/// Shortens an RFC 3339 time in UTC to the minute.
fn minute(time: &str) -> String {
    match time.get(..16) {
        Some(minute) => format!("{}Z", minute.replace('T', " ")),
        None => time.to_owned(),
    }
}

async fn revoke(args: &Revoke) -> Result<(), CommandError> {
    let connection = args.server.connect()?;
    let body = connection
        .api(false)?
        .delete(&format!("{PATH}/{}", args.id))
        .await
        .map_err(CommandError::of(&connection))?;
    match args.output {
        OutputFormat::Json => output::print_line(&body),
        OutputFormat::Text => output::print_line(format_args!("Key {} is revoked.", args.id)),
    }
    Ok(())
}
