//! Reports on manifest files, as text and as JSON.

use domain::Fault;
use serde::Serialize;
use serde_json::json;
use stack_definition::Manifest;

use super::publish::{Change, Publication};
use crate::{
    api::Failure,
    output::{self, OutputFormat},
};

/// Report on one file.
#[derive(Debug, Serialize)]
pub(crate) struct FileReport {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    outcome: Outcome,
    #[serde(rename = "done", skip_serializing_if = "Option::is_none")]
    publication: Option<Publication>,
    /// Paths are JSON pointers into the file.
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

/// Error of the server.
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
            publication: None,
            faults: Vec::new(),
            error: None,
        }
    }

    pub(crate) fn faulty(file: &str, faults: Vec<Fault>) -> Self {
        let (template, version, publication, error) = (None, None, None, None);
        Self {
            file: file.to_owned(),
            template,
            version,
            outcome: Outcome::Faulty,
            publication,
            faults,
            error,
        }
    }

    /// Sets the result of the publication.
    pub(crate) fn set_result(&mut self, result: Result<Publication, Failure>, dry_run: bool) {
        match result {
            Ok(publication) => {
                self.outcome = if publication.is_change() { Outcome::Published } else { Outcome::Unchanged };
                self.publication = Some(Publication { dry_run, ..publication });
            }
            Err(Failure::Rejected { status, code, message, faults, request_id }) => {
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

    pub(crate) fn is_rejected(&self) -> bool {
        matches!(self.outcome, Outcome::Refused | Outcome::Unreachable)
    }

    fn lines(&self) -> Vec<String> {
        let Self { file, template, version, publication, error, .. } = self;
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
        if let Some(publication) = publication {
            lines.push(format!("{file}: {}: {}", name(), describe(publication)));
            lines.extend(publication.notes.iter().map(|note| format!("{file}: {note}")));
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

fn describe(publication: &Publication) -> String {
    let would = if publication.dry_run { "would be " } else { "" };
    let template = match publication.template {
        Change::Created => format!("template {would}created, "),
        Change::Changed => format!("template {would}changed, "),
        Change::Unchanged => String::new(),
    };
    let version = match publication.version {
        Change::Unchanged => "version unchanged".to_owned(),
        Change::Created | Change::Changed => format!("version {would}published"),
    };
    template + &version
}

/// Prints the reports to stdout. Text has a line for each file and each fault (file, JSON pointer, message).
pub(crate) fn print(output: OutputFormat, reports: &[FileReport]) {
    match output {
        OutputFormat::Text => reports.iter().flat_map(FileReport::lines).for_each(output::print_line),
        OutputFormat::Json => output::print_line(json!({ "files": reports })),
    }
}
