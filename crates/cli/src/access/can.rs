//! `nno can`.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};

use super::{CommandError, UNUSABLE, table, text, with_present};
use crate::{
    api::{Failure, Server},
    output::{self, OutputFormat},
};

/// Exit code if an action is not allowed.
const DENIED: u8 = 1;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Action to check: the `operationId` of an operation, such as createEntity
    #[arg(required = true, value_name = "ACTION")]
    actions: Vec<String>,
    /// Platform that the action concerns
    #[arg(long, value_name = "ID")]
    platform: Option<String>,
    /// Entity of the platform that the action concerns
    #[arg(long, value_name = "ID", requires = "platform")]
    entity: Option<String>,
    #[command(flatten)]
    server: Server,
    /// Format of the result
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

/// Exits with 0 if all actions are allowed, with 1 if one is not, and with 2 for every error, so that an error does not
/// look like an answer.
pub async fn run(args: Args) -> ExitCode {
    match check(&args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DENIED),
        Err(error) => {
            error.report();
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Prints the results. Returns true if all actions are allowed.
async fn check(args: &Args) -> Result<bool, CommandError> {
    let connection = args.server.connect()?;
    let checks: Vec<Value> = args.actions.iter().map(|action| args.to_check(action)).collect();
    let response =
        connection.api(false)?.write(Method::POST, "/api/v1/iam/can", &json!({ "checks": checks })).await;
    let body = response.map_err(|failure| CommandError::of(&connection)(args.name_options(failure)))?;
    let results = body.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
    if results.len() != checks.len() {
        return Err(CommandError::Server(format!(
            "{} did not return a result for each action",
            connection.address
        )));
    }
    let is_allowed = |result: &Value| result.get("allowed").and_then(Value::as_bool).unwrap_or_default();
    match args.output {
        OutputFormat::Json => output::print_line(&body),
        OutputFormat::Text => {
            let row = |result: &Value| {
                let word = if is_allowed(result) { "yes" } else { "no" };
                [word, text(result, "action").unwrap_or_default(), text(result, "reason").unwrap_or_default()]
                    .map(str::to_owned)
            };
            let rows: Vec<[String; 3]> = results.iter().map(row).collect();
            table::lines(&rows).into_iter().for_each(output::print_line);
        }
    }
    Ok(results.iter().all(is_allowed))
}

impl Args {
    fn to_check(&self, action: &str) -> Value {
        let id = |id: &Option<String>| id.as_ref().map(|id| json!(id));
        let target = [("platformId", id(&self.platform)), ("entityId", id(&self.entity))];
        with_present(json!({ "action": action }), target)
    }

    /// Replaces the paths of faults, which have the index of an action, by the action and the option.
    fn name_options(&self, mut failure: Failure) -> Failure {
        if let Failure::Rejected { faults, .. } = &mut failure {
            for fault in faults {
                let Some((index, field)) =
                    fault.path.strip_prefix("checks.").and_then(|rest| rest.split_once('.'))
                else {
                    continue;
                };
                let action = index.parse().ok().and_then(|index: usize| self.actions.get(index));
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
