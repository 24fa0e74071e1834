//! The contract of providers, tested with each of them.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fake_provider::{Action, FakeProvider, Rule, Stage};
use provisioning::providers::{
    Clock, DestroyOutcome, ErrorKind, Owner, Provider, ResourceKind, Target,
    local::{LocalProvider, LocalSettings},
};
use tempfile::TempDir;

use super::targets::{bundle, one_of_each, plain, repository, secret, worker};

type Opened = Pin<Box<dyn Future<Output = Arc<dyn Provider>> + Send>>;
type Interrupted = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Provider under test.
struct Subject {
    provider: Arc<dyn Provider>,
    folder: TempDir,
    /// Opens the same folder again, as another process would.
    open: fn(&Path) -> Opened,
    /// Leaves the state of a process that was killed while it created the target.
    interrupt: fn(&Path, Target) -> Interrupted,
}

impl Subject {
    async fn new(open: fn(&Path) -> Opened, interrupt: fn(&Path, Target) -> Interrupted) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { provider: open(folder.path()).await, folder, open, interrupt }
    }

    async fn reopened(&self) -> Arc<dyn Provider> {
        (self.open)(self.folder.path()).await
    }

    async fn local() -> Self {
        Self::new(open_local, interrupt_local).await
    }

    async fn fake() -> Self {
        Self::new(open_fake, interrupt_fake).await
    }
}

fn open_local(folder: &Path) -> Opened {
    let settings = LocalSettings::new(folder.join("root"));
    Box::pin(async {
        Arc::new(LocalProvider::open(settings, Clock::system()).await.unwrap()) as Arc<dyn Provider>
    })
}

fn open_fake(folder: &Path) -> Opened {
    let provider = FakeProvider::open(folder, None, Clock::system()).unwrap();
    Box::pin(async { Arc::new(provider) as Arc<dyn Provider> })
}

/// Writes the files that remain after a power failure between the creation and the renaming of a folder, and after one
/// between its renaming and its removal.
fn interrupt_local(folder: &Path, target: Target) -> Interrupted {
    let root = folder.join("root");
    Box::pin(async move {
        let kind = root.join(target.kind().as_str());
        if !kind.is_dir() {
            return;
        }
        for left in [".new", ".old"] {
            let left = kind.join(format!(".{}{left}", target.name()));
            std::fs::create_dir_all(left.join("deployments/x")).unwrap();
            std::fs::write(left.join("half.sqlite"), b"SQLite format 3\0, and then nothing").unwrap();
            std::fs::write(left.join("nno-meta.json"), b"{\"id\": \"").unwrap();
        }
        std::fs::write(root.join("locks").join(format!("{}.{}", target.kind(), target.name())), b"").unwrap();
    })
}

/// Drops a call between its effect and its response.
fn interrupt_fake(folder: &Path, target: Target) -> Interrupted {
    let provider = FakeProvider::open(folder, None, Clock::system()).unwrap();
    Box::pin(async move {
        let hang = Action::Hang { stage: Stage::AfterEffect, duration: None };
        provider.follow([Rule::new(hang)]).await.unwrap();
        let identity = target.identity();
        let call = tokio::spawn({
            let provider = provider.clone();
            async move { provider.ensure(&target).await }
        });
        while !provider.live().await.unwrap().iter().any(|live| live.identity == identity) {
            assert!(!call.is_finished());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        provider.follow([]).await.unwrap();
    })
}

/// Defines one test per clause of the contract and provider.
macro_rules! clauses {
    ($($clause:ident)*) => {
        mod local {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $clause() {
                super::$clause(&super::Subject::local().await).await;
            })*
        }

        mod fake {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $clause() {
                super::$clause(&super::Subject::fake().await).await;
            })*
        }
    };
}

clauses! {
    repeated_ensure_is_idempotent
    repeated_destroy_is_idempotent
    recreated_target_is_a_new_object
    observe_does_not_create
    next_process_finds_the_target
    interrupted_operations_are_completed
    concurrent_ensure_creates_one_object
    concurrent_operations_leave_a_consistent_state
    new_spec_changes_the_existing_object
    ensure_preserves_commits
    secrets_are_removed_with_their_worker
    concurrently_set_secrets_are_all_stored
    secret_value_is_never_exposed
    incomplete_spec_is_rejected
    names_are_unique_per_kind
    observed_state_contains_the_owner
    object_of_another_owner_is_not_changed
    destroyed_name_is_free_for_another_owner
}

/// Returns the same targets for another platform.
fn with_other_owner(targets: &[Target]) -> Vec<Target> {
    let other = Owner::of(&domain::PlatformId::parse("zzzzzzzzzz").unwrap());
    let same = |target: &Target| Target::new(&other, target.kind(), target.name(), target.spec().clone());
    targets.iter().map(|target| same(target).unwrap()).collect()
}

async fn observed_state_contains_the_owner(subject: &Subject) {
    for target in one_of_each("acme-api") {
        let created = subject.provider.ensure(&target).await.unwrap();
        assert_eq!(created.owner.as_ref(), Some(target.owner()), "{target}");
        // For any caller and in any process.
        for foreign in with_other_owner(std::slice::from_ref(&target)) {
            assert_eq!(
                subject.reopened().await.observe(&foreign).await.unwrap(),
                Some(created.clone()),
                "{target}"
            );
        }
    }
}

async fn object_of_another_owner_is_not_changed(subject: &Subject) {
    let mut targets = one_of_each("acme-api");
    targets.push(secret("acme-api", "TOKEN", Some("given")));
    for target in &targets {
        subject.provider.ensure(target).await.unwrap();
    }
    for (own, foreign) in targets.iter().zip(with_other_owner(&targets)) {
        let before = subject.provider.observe(own).await.unwrap();
        let error = subject.provider.ensure(&foreign).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::OwnedByAnother, "{foreign}: {error}");
        assert!(!error.is_transient() && error.message.contains("belongs to another platform"), "{error}");
        assert_eq!(subject.provider.destroy(&foreign).await.unwrap(), DestroyOutcome::NotOurs, "{foreign}");
        assert_eq!(subject.provider.observe(own).await.unwrap(), before, "{own}");
    }
}

async fn destroyed_name_is_free_for_another_owner(subject: &Subject) {
    let targets = one_of_each("acme-api");
    for target in &targets {
        subject.provider.ensure(target).await.unwrap();
    }
    for target in targets.iter().rev() {
        assert_eq!(subject.provider.destroy(target).await.unwrap(), DestroyOutcome::Removed, "{target}");
        assert_eq!(subject.provider.destroy(target).await.unwrap(), DestroyOutcome::Absent, "{target}");
    }
    for target in with_other_owner(&targets) {
        let created = subject.provider.ensure(&target).await.unwrap();
        assert_eq!(created.owner.as_ref(), Some(target.owner()), "{target}");
    }
}

async fn repeated_ensure_is_idempotent(subject: &Subject) {
    for target in one_of_each("acme-api") {
        let first = subject.provider.ensure(&target).await.unwrap();
        assert!(!first.provider_id.is_empty());
        assert_eq!(subject.provider.ensure(&target).await.unwrap(), first, "{target}");
        assert_eq!(subject.provider.observe(&target).await.unwrap(), Some(first), "{target}");
    }
}

async fn repeated_destroy_is_idempotent(subject: &Subject) {
    for target in one_of_each("acme-api") {
        subject.provider.destroy(&target).await.unwrap();
        subject.provider.ensure(&target).await.unwrap();
    }
    for target in one_of_each("acme-api").iter().rev() {
        assert!(subject.provider.observe(target).await.unwrap().is_some(), "{target}");
        subject.provider.destroy(target).await.unwrap();
        assert_eq!(subject.provider.observe(target).await.unwrap(), None, "{target}");
        subject.provider.destroy(target).await.unwrap();
    }
}

async fn recreated_target_is_a_new_object(subject: &Subject) {
    for target in one_of_each("acme-api") {
        let first = subject.provider.ensure(&target).await.unwrap();
        subject.provider.destroy(&target).await.unwrap();
        let second = subject.provider.ensure(&target).await.unwrap();
        assert_ne!(first.provider_id, second.provider_id, "{target}");
        assert_eq!(subject.provider.observe(&target).await.unwrap(), Some(second), "{target}");
    }
}

async fn observe_does_not_create(subject: &Subject) {
    for target in one_of_each("acme-api") {
        assert_eq!(subject.provider.observe(&target).await.unwrap(), None, "{target}");
        assert_eq!(subject.provider.observe(&target).await.unwrap(), None, "{target}");
    }
}

async fn next_process_finds_the_target(subject: &Subject) {
    for target in one_of_each("acme-api") {
        let first = subject.provider.ensure(&target).await.unwrap();
        let next = subject.reopened().await;
        assert_eq!(next.observe(&target).await.unwrap(), Some(first.clone()), "{target}");
        assert_eq!(next.ensure(&target).await.unwrap(), first, "{target}");
    }
}

async fn interrupted_operations_are_completed(subject: &Subject) {
    for target in one_of_each("acme-api") {
        (subject.interrupt)(subject.folder.path(), target.clone()).await;
        // In the running process and in a new one.
        for provider in [Arc::clone(&subject.provider), subject.reopened().await] {
            let done = provider.ensure(&target).await.unwrap();
            assert_eq!(provider.ensure(&target).await.unwrap(), done, "{target}");
            assert_eq!(subject.provider.observe(&target).await.unwrap(), Some(done), "{target}");
        }
    }
    for target in one_of_each("acme-web").iter().filter(|target| target.kind() != ResourceKind::Secret) {
        (subject.interrupt)(subject.folder.path(), target.clone()).await;
        subject.provider.destroy(target).await.unwrap();
        assert_eq!(subject.reopened().await.observe(target).await.unwrap(), None, "{target}");
    }
}

async fn concurrent_ensure_creates_one_object(subject: &Subject) {
    let other = subject.reopened().await;
    for target in one_of_each("acme-api") {
        let calls: Vec<_> = (0..16)
            .map(|call| {
                let provider = if call % 2 == 0 { Arc::clone(&subject.provider) } else { Arc::clone(&other) };
                let target = target.clone();
                tokio::spawn(async move { provider.ensure(&target).await.unwrap() })
            })
            .collect();
        let found = subject.provider.observe(&target).await.unwrap();
        let mut ids = Vec::from_iter(found.map(|found| found.provider_id));
        for call in calls {
            ids.push(call.await.unwrap().provider_id);
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "{target}: {ids:?}");
    }
}

async fn concurrent_operations_leave_a_consistent_state(subject: &Subject) {
    let other = subject.reopened().await;
    // Secrets are left out, because they fail while their worker is missing.
    for target in one_of_each("acme-api").into_iter().filter(|target| target.kind() != ResourceKind::Secret) {
        let calls: Vec<_> = (0..24)
            .map(|call| {
                let provider = if call % 2 == 0 { Arc::clone(&subject.provider) } else { Arc::clone(&other) };
                let target = target.clone();
                tokio::spawn(async move {
                    match call % 3 {
                        0 => drop(provider.destroy(&target).await.unwrap()),
                        1 => drop(provider.observe(&target).await.unwrap()),
                        _ => drop(provider.ensure(&target).await.unwrap()),
                    }
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        let created = subject.provider.ensure(&target).await.unwrap();
        assert_eq!(other.observe(&target).await.unwrap(), Some(created), "{target}");
    }
}

async fn new_spec_changes_the_existing_object(subject: &Subject) {
    let provider = &subject.provider;
    let first = provider.ensure(&worker("acme-api", "one")).await.unwrap();
    assert_eq!(first.details["deployment"], bundle("one").hash());
    let second = provider.ensure(&worker("acme-api", "two")).await.unwrap();
    assert_eq!(second.details["deployment"], bundle("two").hash());
    assert_eq!(first.provider_id, second.provider_id);
    assert_eq!(provider.ensure(&worker("acme-api", "one")).await.unwrap(), first);

    let record = |to: &str| Target::dns(&super::targets::owner(), "api.acme.test", to).unwrap();
    let first = provider.ensure(&record("acme-api")).await.unwrap();
    let second = provider.ensure(&record("acme-web")).await.unwrap();
    assert_eq!(first.provider_id, second.provider_id);
    assert_eq!(
        (&first.details["target"], &second.details["target"]),
        (&"acme-api".into(), &"acme-web".into())
    );
    assert_eq!(provider.observe(&record("elsewhere")).await.unwrap(), Some(second.clone()));
    assert_eq!(
        provider.observe(&plain(ResourceKind::DnsRecord, "API.acme.test")).await.unwrap(),
        Some(second)
    );

    let first = provider.ensure(&secret("acme-api", "TOKEN", None)).await.unwrap();
    let second = provider.ensure(&secret("acme-api", "TOKEN", Some("given"))).await.unwrap();
    assert_eq!(first.provider_id, second.provider_id);
}

async fn ensure_preserves_commits(subject: &Subject) {
    let first = subject.provider.ensure(&repository("acme", "Acme")).await.unwrap();
    let head = first.details["head"].as_str().unwrap();
    assert!(head.len() == 40 && head.bytes().all(|b| b.is_ascii_hexdigit()), "{head}");
    assert_eq!(first.details["branch"], "main");
    assert_eq!(subject.provider.ensure(&repository("acme", "Renamed")).await.unwrap(), first);
    let other = subject.provider.ensure(&repository("renamed", "Renamed")).await.unwrap();
    assert_ne!(other.details["head"], first.details["head"]);
    let same = subject.provider.ensure(&repository("acme-2", "Acme")).await.unwrap();
    assert_eq!(same.details["head"], first.details["head"]);
}

async fn secrets_are_removed_with_their_worker(subject: &Subject) {
    let provider = &subject.provider;
    let token = secret("acme-api", "TOKEN", Some("given"));
    let error = provider.ensure(&token).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Permanent);
    assert!(error.message.contains("does not exist"), "{error}");

    provider.ensure(&worker("acme-api", "one")).await.unwrap();
    provider.ensure(&worker("acme-web", "one")).await.unwrap();
    let created = provider.ensure(&token).await.unwrap();
    let other = provider.ensure(&secret("acme-web", "TOKEN", Some("given"))).await.unwrap();
    assert_ne!(created.provider_id, other.provider_id);
    provider.ensure(&worker("acme-api", "two")).await.unwrap();
    assert_eq!(provider.observe(&token).await.unwrap(), Some(created));

    provider.destroy(&plain(ResourceKind::Worker, "acme-api")).await.unwrap();
    assert_eq!(provider.observe(&token).await.unwrap(), None);
    provider.destroy(&token).await.unwrap();
    assert_eq!(provider.observe(&secret("acme-web", "TOKEN", None)).await.unwrap(), Some(other));
    provider.ensure(&worker("acme-api", "one")).await.unwrap();
    assert_eq!(provider.observe(&token).await.unwrap(), None);
}

async fn concurrently_set_secrets_are_all_stored(subject: &Subject) {
    subject.provider.ensure(&worker("acme-api", "one")).await.unwrap();
    let targets: Vec<_> = (0..16).map(|n| secret("acme-api", &format!("KEY_{n}"), None)).collect();
    let calls: Vec<_> = targets
        .iter()
        .map(|target| {
            let (provider, target) = (Arc::clone(&subject.provider), target.clone());
            tokio::spawn(async move { provider.ensure(&target).await.unwrap() })
        })
        .collect();
    for (target, call) in targets.iter().zip(calls) {
        assert_eq!(subject.provider.ensure(target).await.unwrap(), call.await.unwrap(), "{target}");
    }
}

async fn secret_value_is_never_exposed(subject: &Subject) {
    let target = secret("acme-api", "TOKEN", Some("hunter2hunter2"));
    let error = subject.provider.ensure(&target).await.unwrap_err();
    subject.provider.ensure(&worker("acme-api", "one")).await.unwrap();
    let created = subject.provider.ensure(&target).await.unwrap();
    let shown =
        format!("{error:?} {created:?} {:?} {target:?}", subject.provider.observe(&target).await.unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

async fn incomplete_spec_is_rejected(subject: &Subject) {
    use ResourceKind::{D1, DnsRecord, GitRepository, Kv, Pages, Queue, R2, Worker};
    for kind in [Worker, Pages, GitRepository, DnsRecord] {
        let target = plain(kind, if kind == DnsRecord { "api.acme.test" } else { "acme-api" });
        let error = subject.provider.ensure(&target).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Permanent, "{target}");
        assert_eq!(subject.provider.observe(&target).await.unwrap(), None, "{target}");
    }
    for kind in [D1, R2, Kv, Queue] {
        subject.provider.ensure(&plain(kind, "acme-api")).await.unwrap();
    }
    // A plain spec is sufficient to remove any target.
    for target in one_of_each("acme-web").iter().filter(|target| target.kind() != ResourceKind::Secret) {
        subject.provider.ensure(target).await.unwrap();
        let target = plain(target.kind(), target.name());
        assert!(subject.provider.observe(&target).await.unwrap().is_some(), "{target}");
        subject.provider.destroy(&target).await.unwrap();
        assert_eq!(subject.provider.observe(&target).await.unwrap(), None, "{target}");
    }
}

async fn names_are_unique_per_kind(subject: &Subject) {
    let mut ids = std::collections::BTreeSet::new();
    for target in one_of_each("acme").into_iter().chain(one_of_each("acme-git")) {
        ids.insert(subject.provider.ensure(&target).await.unwrap().provider_id);
    }
    assert_eq!(ids.len(), 18);
    for target in one_of_each("acme").into_iter().rev() {
        subject.provider.destroy(&target).await.unwrap();
    }
    for target in one_of_each("acme-git") {
        assert!(subject.provider.observe(&target).await.unwrap().is_some(), "{target}");
    }
}
