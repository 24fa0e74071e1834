//! `nno stack`: validation and publication of stack manifests.
//!
//! The exit code is 0 on success, 1 if a manifest has faults, 2 if the command cannot start (usage, files), and 3 if the
//! server rejects a manifest or cannot be reached.

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
    output::{self, OutputFormat},
};

pub use self::demo::publish as publish_demo;

/// Exit code if a manifest has faults.
const FAULTS: u8 = 1;
/// Exit code if the command cannot start.
const UNUSABLE: u8 = 2;
/// Exit code if the server rejects a manifest or cannot be reached.
const REJECTED: u8 = 3;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Validate stack manifests as the service does, without a server.
    Validate(Files),
    /// Publish stack manifests: create or update the template, and create the version.
    Publish(Publish),
}

#[derive(clap::Args)]
struct Files {
    /// Manifests in JSON or YAML; in a folder, every stack.json and stack.yaml below it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Format of the result
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

#[derive(clap::Args)]
struct Publish {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    server: Server,
    /// Only validate on the server, without storing anything
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: Args) -> ExitCode {
    let outcome = match &args.command {
        Command::Validate(files) => validate(files),
        Command::Publish(args) => publish_all(args).await,
    };
    outcome.unwrap_or_else(|error| output::fail_with(&error, UNUSABLE))
}

fn validate(files: &Files) -> Result<ExitCode> {
    let checked = check(&files.files)?;
    let reports: Vec<FileReport> = checked.iter().map(Checked::report).collect();
    report::print(files.output, &reports);
    Ok(code(&reports))
}

async fn publish_all(args: &Publish) -> Result<ExitCode> {
    let api = args.server.connect()?.api(args.dry_run)?;
    let checked = check(&args.files.files)?;
    // Nothing is sent unless all manifests are valid.
    let mut reports: Vec<FileReport> = checked.iter().map(Checked::report).collect();
    if code(&reports) == ExitCode::SUCCESS {
        let manifests: Vec<&Manifest> = checked.iter().filter_map(|one| one.manifest.as_ref().ok()).collect();
        for index in publish::order(&manifests) {
            if let (Some(manifest), Some(report)) = (manifests.get(index), reports.get_mut(index)) {
                report.set_result(publish::publish(&api, manifest).await, args.dry_run);
            }
        }
    }
    report::print(args.files.output, &reports);
    Ok(code(&reports))
}

/// A file and its manifest.
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

/// Reads and validates all manifests.
///
/// # Errors
/// When a file cannot be read, or a folder has no manifest.
fn check(paths: &[PathBuf]) -> Result<Vec<Checked>> {
    let mut checked: Vec<Checked> = files::find(paths)?
        .into_iter()
        .map(|Source { file, value }| {
            let manifest = value.map_err(|fault| vec![fault]).and_then(|value| Manifest::read(&value));
            Checked { file, manifest }
        })
        .collect();
    reject_duplicates(&mut checked);
    Ok(checked)
}

/// Rejects a version of a template that an earlier file has too.
fn reject_duplicates(checked: &mut [Checked]) {
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
    } else if reports.iter().any(FileReport::is_rejected) {
        ExitCode::from(REJECTED)
    } else {
        ExitCode::SUCCESS
    }
}
