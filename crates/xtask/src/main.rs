//! Chores of the project. Run them with `cargo xtask`.

mod edit;
mod names;
mod resource;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Chores of the project.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a new resource of platforms: its folder, migration and test.
    NewResource {
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
    },
}

#[expect(clippy::print_stdout, reason = "the result of a command")]
fn main() -> Result<()> {
    let Command::NewResource { service, plural, singular, root } = Cli::parse().command;
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
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
