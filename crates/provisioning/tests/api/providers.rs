//! Providers: one contract that all of them keep, and what only one of them can show.

mod contract;
mod fake;
mod local_deployments;
mod local_git;
mod local_stores;
mod processes;
mod starter;
mod targets;

use provisioning::providers::Clock;
use provisioning::providers::local::{LocalProvider, LocalSettings};
use tempfile::TempDir;

/// A local provider in a folder of its own, which is removed with it.
struct Local {
    provider: LocalProvider,
    root: TempDir,
}

impl Local {
    async fn new() -> Self {
        Self::at(Clock::system()).await
    }

    async fn at(clock: Clock) -> Self {
        let root = tempfile::tempdir().unwrap();
        let provider = LocalProvider::open(LocalSettings::new(root.path()), clock).await.unwrap();
        Self { provider, root }
    }
}
