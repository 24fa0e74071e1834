//! `nno process-keys`: the signing keys of all processes, for deployments that run them separately.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use identity::KeyPair;
use service::Service;

use cli::output;

/// Every process of the system. Each signs the requests that it sends.
pub(crate) const PROCESSES: [&str; 6] = [
    gateway::NAME,
    registry::Registry::NAME,
    stack_registry::StackRegistry::NAME,
    onboarding::Onboarding::NAME,
    provisioning::Provisioning::NAME,
    iam::Iam::NAME,
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the keys: give `private/<name>.pem` only to its process, and `public/` to all
    #[arg(long)]
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure(&args.dir)?;
    output::print_line(format_args!("keys of {} are in {}", PROCESSES.join(", "), args.dir.display()));
    Ok(())
}

/// Creates the keys that do not exist.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn ensure(dir: &Path) -> Result<()> {
    PROCESSES
        .iter()
        .try_for_each(|name| KeyPair::ensure(dir, name))
        .with_context(|| format!("cannot create keys in {}", dir.display()))
}
