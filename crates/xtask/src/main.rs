//! Project tasks. Run them with `cargo xtask`.

mod edit;
mod names;
mod resource;
mod scripts;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Project tasks.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a new resource of platforms: its folder, migration and test.
    NewResource(NewResource),
    /// Run everything that a change must pass (.ci/run).
    Ci,
    /// Send generated requests to a running system (scripts/fuzz).
    Fuzz {
        /// Duration in minutes.
        #[arg(default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        minutes: u32,
    },
    /// Measure the registry against pgbench and the gateway against nginx (scripts/bench).
    Bench {
        /// Options of the benchmark; `cargo xtask bench -- --help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run the examples of the documentation against a new system (scripts/check-docs).
    CheckDocs,
    /// Generate a resource in a copy of the project and test it (scripts/check-generator).
    CheckGenerator,
}

#[derive(Debug, clap::Args)]
struct NewResource {
    /// The service that serves it, such as registry.
    service: String,
    /// The plural name in snake case, such as notes or api_tokens.
    plural: String,
    /// The singular name, where it does not follow from the plural.
    #[arg(long)]
    singular: Option<String>,
    /// The project to write to, if not the one that this command was built in.
    #[arg(long)]
    root: Option<PathBuf>,
}

fn main() -> Result<()> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let run = |script, args: &[OsString]| {
        let root = project.canonicalize().context("The project's folder does not exist.")?;
        scripts::run(&root, script, args)
    };
    match Cli::parse().command {
        Command::NewResource(args) => new_resource(&project, args),
        Command::Ci => run(scripts::CI, &[]),
        Command::Fuzz { minutes } => run(scripts::FUZZ, &[minutes.to_string().into()]),
        Command::Bench { args } => run(scripts::BENCH, &args),
        Command::CheckDocs => run(scripts::CHECK_DOCS, &[]),
        Command::CheckGenerator => run(scripts::CHECK_GENERATOR, &[]),
    }
}

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn new_resource(project: &Path, args: NewResource) -> Result<()> {
    let NewResource { service, plural, singular, root } = args;
    let root = root.as_deref().unwrap_or(project);
    let root = root.canonicalize().context("The project's folder does not exist.")?;
    let names = names::Names::new(&plural, singular.as_deref())?;
    let written = resource::write(&root, &service, &names)?;
    for path in &written {
        println!("{path}");
    }
    println!("\nNext, update the OpenAPI document and the generated documentation, then run the tests:\n");
    println!("    UPDATE_SNAPSHOTS=1 scripts/test -E 'test(/committed_document|the_page_lists/)'");
    println!("    scripts/test -E 'package({service})'");
    Ok(())
}
