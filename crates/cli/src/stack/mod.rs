//! `nno stack`: stack manifests, checked on their author's machine and published from there.
//!
//! It ends with 0 when all is well, 1 when a manifest has faults, 2 when it cannot begin (usage, files), and 3 when the
//! server refuses or cannot be reached.

mod demo;
mod files;
mod publish;
mod report;

use std::{collections::HashMap, path::PathBuf, process::ExitCode};

use anyhow::Result;
use domain::Fault;
use stack_definition::Manifest;

use self::{files::Source, report::FileReport};
use crate::{
    api::Server,
    say::{self, Output},
};

pub use self::demo::publish as publish_demo;

/// A manifest has faults.
const FAULTS: u8 = 1;
/// It cannot begin.
const UNUSABLE: u8 = 2;
/// The server refused, or cannot be reached.
const REFUSED: u8 = 3;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check stack manifests as the service would; no server is asked.
    Validate(Files),
    /// Publish stack manifests: the template, if it is not there or its text has changed, and the version.
    Publish(Publish),
}

#[derive(clap::Args)]
struct Files {
    /// Manifests in JSON or YAML; of a folder, each stack.json and stack.yaml below it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the outcome is told
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(clap::Args)]
struct Publish {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    server: Server,
    /// Have the server check everything and keep nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: Args) -> ExitCode {
    let outcome = match &args.command {
        Command::Validate(files) => validate(files),
        Command::Publish(publish) => send(publish).await,
    };
    outcome.unwrap_or_else(|error| say::failed_with(&error, UNUSABLE))
}

fn validate(files: &Files) -> Result<ExitCode> {
    let checked = check(&files.files)?;
    let reports: Vec<FileReport> = checked.iter().map(Checked::report).collect();
    report::tell(files.output, &reports);
    Ok(code(&reports))
}

async fn send(args: &Publish) -> Result<ExitCode> {
    let api = args.server.connect()?.api(args.dry_run)?;
    let checked = check(&args.files.files)?;
    // Before anything is sent, all of it is right.
    let mut reports: Vec<FileReport> = checked.iter().map(Checked::report).collect();
    if code(&reports) == ExitCode::SUCCESS {
        let manifests: Vec<&Manifest> = checked.iter().filter_map(|one| one.manifest.as_ref().ok()).collect();
        for index in publish::order(&manifests) {
            if let (Some(manifest), Some(report)) = (manifests.get(index), reports.get_mut(index)) {
                report.published(publish::one(&api, manifest).await, args.dry_run);
            }
        }
    }
    report::tell(args.files.output, &reports);
    Ok(code(&reports))
}

/// A file, and the manifest that it holds.
struct Checked {
    file: String,
    manifest: Result<Manifest, Vec<Fault>>,
}

impl Checked {
    fn report(&self) -> FileReport {
        match &self.manifest {
            Ok(manifest) => FileReport::valid(&self.file, manifest),
            Err(faults) => FileReport::faulty(&self.file, faults.clone()),
        }
    }
}

/// Reads all manifests.
///
/// # Errors
/// When a file cannot be read, or a folder has none.
fn check(paths: &[PathBuf]) -> Result<Vec<Checked>> {
    let mut checked: Vec<Checked> = files::find(paths)?
        .into_iter()
        .map(|Source { file, value }| {
            let manifest = value.map_err(|fault| vec![fault]).and_then(|value| Manifest::read(&value));
            Checked { file, manifest }
        })
        .collect();
    refuse_twice(&mut checked);
    Ok(checked)
}

/// One version of a template is in one file.
fn refuse_twice(checked: &mut [Checked]) {
    let mut seen: HashMap<(String, String), String> = HashMap::new();
    for one in checked {
        let Ok(manifest) = &one.manifest else { continue };
        let version = (manifest.name.to_string(), manifest.version.to_string());
        if let Some(first) = seen.get(&version) {
            let why = format!("is the version of '{}' in {first} already", manifest.name);
            one.manifest = Err(vec![Fault::new("/version", why)]);
        } else {
            seen.insert(version, one.file.clone());
        }
    }
}

fn code(reports: &[FileReport]) -> ExitCode {
    if reports.iter().any(FileReport::is_faulty) {
        ExitCode::from(FAULTS)
    } else if reports.iter().any(FileReport::is_refused) {
        ExitCode::from(REFUSED)
    } else {
        ExitCode::SUCCESS
    }
}
