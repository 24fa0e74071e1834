//! What became of each file, for people and for programs.

use domain::Fault;
use serde::Serialize;
use serde_json::json;
use stack_definition::Manifest;

use super::publish::{Done, Step};
use crate::{
    api::Failure,
    say::{self, Output},
};

/// What became of a file.
#[derive(Debug, Serialize)]
pub(crate) struct FileReport {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<Done>,
    /// By JSON pointer into the file.
    faults: Vec<Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ServerError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Valid,
    Faulty,
    Published,
    Unchanged,
    Refused,
    Unreachable,
}

/// What the server said.
#[derive(Debug, Serialize)]
struct ServerError {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl FileReport {
    pub(crate) fn valid(file: &str, manifest: &Manifest) -> Self {
        Self {
            file: file.to_owned(),
            template: Some(manifest.name.to_string()),
            version: Some(manifest.version.to_string()),
            outcome: Outcome::Valid,
            done: None,
            faults: Vec::new(),
            error: None,
        }
    }

    pub(crate) fn faulty(file: &str, faults: Vec<Fault>) -> Self {
        let (template, version, done, error) = (None, None, None, None);
        Self { file: file.to_owned(), template, version, outcome: Outcome::Faulty, done, faults, error }
    }

    /// Notes what became of it at the server.
    pub(crate) fn published(&mut self, result: Result<Done, Failure>, dry_run: bool) {
        match result {
            Ok(done) => {
                self.outcome = if done.is_change() { Outcome::Published } else { Outcome::Unchanged };
                self.done = Some(Done { dry_run, ..done });
            }
            Err(Failure::Refused { status, code, message, faults, request_id }) => {
                self.outcome = Outcome::Refused;
                self.faults = faults;
                self.error =
                    Some(ServerError { status: Some(status), code: Some(code), message, request_id });
            }
            Err(Failure::Unreachable(message)) => {
                self.outcome = Outcome::Unreachable;
                self.error = Some(ServerError { status: None, code: None, message, request_id: None });
            }
        }
    }

    pub(crate) fn is_faulty(&self) -> bool {
        self.outcome == Outcome::Faulty
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.outcome, Outcome::Refused | Outcome::Unreachable)
    }

    fn lines(&self) -> Vec<String> {
        let Self { file, template, version, done, error, .. } = self;
        let mut lines: Vec<String> = self
            .faults
            .iter()
            .map(|Fault { path, message }| {
                let at = if path.is_empty() { String::new() } else { format!(" {path}:") };
                format!("{file}:{at} {message}")
            })
            .collect();
        let name = || {
            format!("{} {}", template.as_deref().unwrap_or_default(), version.as_deref().unwrap_or_default())
        };
        if let Some(done) = done {
            lines.push(format!("{file}: {}: {}", name(), told(done)));
            lines.extend(done.notes.iter().map(|note| format!("{file}: {note}")));
        } else if let Some(ServerError { status, code, message, request_id }) = error {
            let status = status.map(|status| format!("{status} ")).unwrap_or_default();
            let code = code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default();
            let request = request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default();
            lines.push(format!("{file}: {}: {status}{code}{message}{request}", name()));
        } else if self.outcome == Outcome::Valid {
            lines.push(format!("{file}: {}: valid", name()));
        }
        lines
    }
}

fn told(done: &Done) -> String {
    let would = if done.dry_run { "would be " } else { "" };
    let template = match done.template {
        Step::Created => format!("template {would}created, "),
        Step::Changed => format!("template {would}changed, "),
        Step::Unchanged => String::new(),
    };
    let version = match done.version {
        Step::Unchanged => "version unchanged".to_owned(),
        Step::Created | Step::Changed => format!("version {would}published"),
    };
    template + &version
}

/// Tells it on stdout: in text a line for each file and each fault (file, JSON pointer, message).
pub(crate) fn tell(output: Output, reports: &[FileReport]) {
    match output {
        Output::Text => reports.iter().flat_map(FileReport::lines).for_each(say::line),
        Output::Json => say::line(json!({ "files": reports })),
    }
}
