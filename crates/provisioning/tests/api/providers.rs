//! Tests of providers: the contract of all providers, and the specifics of each.

mod contract;
mod domains;
mod fake;
mod local_deployments;
mod local_git;
mod local_objects;
mod local_stores;
mod owners;
mod pacing;
mod processes;
mod starter;
pub(crate) mod targets;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use provisioning::providers::{
    Clock,
    local::{LocalProvider, LocalSettings},
};
use tempfile::TempDir;

/// Local provider in a temporary folder.
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

/// Returns a clock that stands still until it is advanced.
fn movable_clock() -> (Clock, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(1_700_000_000_000));
    let clock = Clock::from_fn({
        let now = Arc::clone(&now);
        move || now.load(Ordering::SeqCst)
    });
    (clock, now)
}

/// Returns all paths below `folder`.
fn walk(folder: &Path) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(walk(&path));
        }
        paths.insert(path.to_str().unwrap().to_owned());
    }
    paths
}
