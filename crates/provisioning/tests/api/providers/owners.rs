//! Owners of objects of the local provider, also of objects that were created before owners were stored.

use std::path::{Path, PathBuf};

use provisioning::providers::{
    Clock, DestroyOutcome, ErrorKind, Owner, Provider, ResourceKind, Target,
    local::{LocalProvider, LocalSettings},
};
use rusqlite::Connection;

use super::Local;
use super::targets::{one_of_each, owner};

const OWNER: &str = "nno-owner.json";

fn other() -> Owner {
    Owner::of(&domain::PlatformId::parse("zzzzzzzzzz").unwrap())
}

/// Returns all owner files.
fn owners(root: &Path) -> Vec<PathBuf> {
    let paths = super::walk(root).into_iter().map(PathBuf::from);
    paths.filter(|path| path.file_name().is_some_and(|name| name == OWNER)).collect()
}

/// Converts the storage to that of an older version without owners.
fn forget_owners(root: &Path) {
    for path in owners(root) {
        std::fs::remove_file(path).unwrap();
    }
    let routes = Connection::open(root.join("dns.sqlite")).unwrap();
    routes.execute_batch("ALTER TABLE routes DROP COLUMN owner").unwrap();
}

async fn reopened(local: &Local) -> LocalProvider {
    LocalProvider::open(LocalSettings::new(local.root.path()), Clock::system()).await.unwrap()
}

#[tokio::test]
async fn old_object_belongs_to_the_platform_in_its_name() {
    let local = Local::new().await;
    let name = format!("{}-default-auth", owner().platform);
    let targets = one_of_each(&name);
    for target in &targets {
        local.provider.ensure(target).await.unwrap();
    }
    forget_owners(local.root.path());
    let provider = reopened(&local).await;
    for target in &targets {
        let stolen = Target::new(&other(), target.kind(), target.name(), target.spec().clone()).unwrap();
        assert_eq!(provider.ensure(&stolen).await.unwrap_err().kind, ErrorKind::OwnedByAnother, "{target}");
        assert_eq!(provider.destroy(&stolen).await.unwrap(), DestroyOutcome::NotOurs, "{target}");
        assert_eq!(provider.observe(target).await.unwrap().unwrap().owner, Some(owner()), "{target}");
        assert_eq!(provider.ensure(target).await.unwrap().owner, Some(owner()), "{target}");
    }
    // A worker and its secret share an owner file, and the routes are in a table.
    assert_eq!(owners(local.root.path()).len(), 7, "the owners must be stored now");
    for target in targets.iter().rev() {
        assert_eq!(provider.destroy(target).await.unwrap(), DestroyOutcome::Removed, "{target}");
    }
}

#[tokio::test]
async fn object_without_owner_is_adopted_and_not_destroyed() {
    let local = Local::new().await;
    let target = Target::plain(&owner(), ResourceKind::D1, "inventory").unwrap();
    let created = local.provider.ensure(&target).await.unwrap();
    forget_owners(local.root.path());
    let provider = reopened(&local).await;
    assert_eq!(provider.observe(&target).await.unwrap().unwrap().owner, None);
    assert_eq!(provider.destroy(&target).await.unwrap(), DestroyOutcome::NotOurs);
    let adopted = Target::plain(&other(), ResourceKind::D1, "inventory").unwrap();
    let found = provider.ensure(&adopted).await.unwrap();
    assert_eq!((found.provider_id, found.owner), (created.provider_id, Some(other())));
    assert_eq!(provider.ensure(&target).await.unwrap_err().kind, ErrorKind::OwnedByAnother);
}

#[tokio::test]
async fn folder_never_exists_without_its_owner() {
    let local = Local::new().await;
    for target in one_of_each("acme-api") {
        if matches!(target.kind(), ResourceKind::Secret | ResourceKind::DnsRecord) {
            continue;
        }
        let (provider, ensured) = (local.provider.clone(), target.clone());
        let creation = tokio::spawn(async move { provider.ensure(&ensured).await.unwrap() });
        let folder = local.root.path().join(target.kind().as_str());
        let appeared = || {
            let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
            entries.filter(|entry| !entry.file_name().to_str().unwrap().starts_with('.')).count() == 1
        };
        while !appeared() {
            tokio::task::yield_now().await;
        }
        let is_named =
            |path: &PathBuf| !path.strip_prefix(&folder).unwrap().to_str().unwrap().starts_with('.');
        assert_eq!(owners(&folder).iter().filter(|path| is_named(path)).count(), 1, "{target}");
        creation.await.unwrap();
    }
}
