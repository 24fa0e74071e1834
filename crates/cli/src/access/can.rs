//! `nno can`.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Trouble, UNUSABLE, table, text, with};
use crate::{
    api::{Failure, Server},
    say::{self, Output},
};

/// At least one answer is no.
const NO: u8 = 1;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is to be done: the `operationId` of an operation, such as createEntity
    #[arg(required = true, value_name = "ACTION")]
    actions: Vec<String>,
    /// The platform that it is done to
    #[arg(long, value_name = "ID")]
    platform: Option<String>,
    /// The entity of the platform that it is done to
    #[arg(long, value_name = "ID", requires = "platform")]
    entity: Option<String>,
    #[command(flatten)]
    server: Server,
    /// How the answer is told
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Ends with 0 for yes to all, with 1 for no to one, and with 2 when it cannot be found out: whatever keeps it from an
/// answer must not look like one.
pub async fn run(args: Args) -> ExitCode {
    match answers(&args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(NO),
        Err(trouble) => {
            trouble.code();
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Whether all of it is allowed.
async fn answers(args: &Args) -> Result<bool, Trouble> {
    let connection = args.server.connect()?;
    let checks: Vec<Value> = args.actions.iter().map(|action| args.check(action)).collect();
    let asked =
        connection.api(false)?.write(Method::POST, "/api/v1/iam/can", &json!({ "checks": checks })).await;
    let answer = asked.map_err(|failure| Trouble::at(&connection)(args.in_words(failure)))?;
    let results = answer.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
    if results.len() != checks.len() {
        return Err(Trouble::Refused(format!("{} did not answer what it was asked", connection.address)));
    }
    let is_allowed = |result: &Value| result.get("allowed").and_then(Value::as_bool).unwrap_or_default();
    match args.output {
        Output::Json => say::line(&answer),
        Output::Text => {
            let row = |result: &Value| {
                let word = if is_allowed(result) { "yes" } else { "no" };
                [word, text(result, "action").unwrap_or_default(), text(result, "reason").unwrap_or_default()]
                    .map(str::to_owned)
            };
            let rows: Vec<[String; 3]> = results.iter().map(row).collect();
            table::lines(&rows).into_iter().for_each(say::line);
        }
    }
    Ok(results.iter().all(is_allowed))
}

impl Args {
    fn check(&self, action: &str) -> Value {
        let id = |id: &Option<String>| id.as_ref().map(|id| json!(id));
        let places = [("platformId", id(&self.platform)), ("entityId", id(&self.entity))];
        with(json!({ "action": action }), places)
    }

    /// Faults by what was typed: the server calls an action by its number.
    fn in_words(&self, mut failure: Failure) -> Failure {
        if let Failure::Refused { faults, .. } = &mut failure {
            for fault in faults {
                let Some((number, field)) =
                    fault.path.strip_prefix("checks.").and_then(|rest| rest.split_once('.'))
                else {
                    continue;
                };
                let action = number.parse().ok().and_then(|number: usize| self.actions.get(number));
                fault.path = match (action, field) {
                    (Some(action), "action") => action.clone(),
                    (Some(action), "platformId") => format!("{action}: --platform"),
                    (Some(action), "entityId") => format!("{action}: --entity"),
                    _ => continue,
                };
            }
        }
        failure
    }
}
