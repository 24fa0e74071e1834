//! `nno whoami`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{CommandError, exit_code, scope, table, text};
use crate::{
    api::{Connection, Server},
    output::{self, OutputFormat},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Server,
    /// Format of the result
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

pub async fn run(args: Args) -> ExitCode {
    exit_code(whoami(&args).await)
}

async fn whoami(args: &Args) -> Result<(), CommandError> {
    let connection = args.server.connect()?;
    let me = fetch(&connection).await?;
    match args.output {
        OutputFormat::Json => output::print_line(&me),
        OutputFormat::Text => lines(&connection, &me).into_iter().for_each(output::print_line),
    }
    Ok(())
}

/// Fetches the identity that the key has on the server.
pub(super) async fn fetch(connection: &Connection) -> Result<Value, CommandError> {
    connection.api(false)?.get("/api/v1/iam/whoami").await.map_err(CommandError::of(connection))
}

fn lines(connection: &Connection, me: &Value) -> Vec<String> {
    let kind = match text(me, "actorType").unwrap_or_default() {
        "apikey" => "an API key",
        "operator" => "the operator's key",
        "user" => "a person's token",
        other => other,
    };
    let mut lines = table::lines(&[
        ["caller".to_owned(), text(me, "id").unwrap_or_default().to_owned()],
        ["known by".to_owned(), format!("{kind}, {}", connection.source)],
        ["at".to_owned(), connection.address.to_string()],
    ]);
    lines.push(String::new());
    let grants = me.get("grants").unwrap_or(&json!([])).as_array().cloned().unwrap_or_default();
    if grants.is_empty() {
        lines.push("No grants.".to_owned());
        return lines;
    }
    let row = |grant: &Value| [text(grant, "role").unwrap_or_default().to_owned(), scope(grant)];
    let head = ["ROLE", "REACHES"].map(str::to_owned);
    let rows: Vec<[String; 2]> = std::iter::once(head).chain(grants.iter().map(row)).collect();
    lines.extend(table::lines(&rows));
    lines
}
