//! `nno whoami`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Trouble, ended, reach, table, text};
use crate::{
    api::{Connection, Server},
    say::{self, Output},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Server,
    /// How the answer is told
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn run(args: Args) -> ExitCode {
    ended(told(&args).await)
}

async fn told(args: &Args) -> Result<(), Trouble> {
    let connection = args.server.connect()?;
    let me = ask(&connection).await?;
    match args.output {
        Output::Json => say::line(&me),
        Output::Text => lines(&connection, &me).into_iter().for_each(say::line),
    }
    Ok(())
}

/// Who the bearer of the key is there.
pub(super) async fn ask(connection: &Connection) -> Result<Value, Trouble> {
    connection.api(false)?.get("/api/v1/iam/whoami").await.map_err(Trouble::at(connection))
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
        lines.push("No grants: it sees nothing.".to_owned());
        return lines;
    }
    let row = |grant: &Value| [text(grant, "role").unwrap_or_default().to_owned(), reach(grant)];
    let head = ["ROLE", "REACHES"].map(str::to_owned);
    let rows: Vec<[String; 2]> = std::iter::once(head).chain(grants.iter().map(row)).collect();
    lines.extend(table::lines(&rows));
    lines
}
