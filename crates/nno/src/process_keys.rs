//! `nno process-keys`: the keys of all processes, for deployments that run them one by one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use identity::KeyPair;
use service::Service;

use cli::say;

/// Every process of the system. Each signs what it sends.
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
    /// The folder: `private/<name>.pem` is for its process alone, `public/` for all of them
    #[arg(long)]
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure(&args.dir)?;
    say::line(format_args!("keys of {} are in {}", PROCESSES.join(", "), args.dir.display()));
    Ok(())
}

/// Makes the keys that are not there yet; those that are stay.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn ensure(dir: &Path) -> Result<()> {
    PROCESSES
        .iter()
        .try_for_each(|name| KeyPair::ensure(dir, name))
        .with_context(|| format!("cannot make keys in {}", dir.display()))
}
