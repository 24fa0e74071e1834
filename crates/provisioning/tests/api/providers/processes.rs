//! Providers used by several processes, and by processes that are killed.
//!
//! Each process is this test binary, running only [`child`], which reads its orders from standard input.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fake_provider::{Action, FakeProvider, Operation, Rule, Stage};
use provisioning::providers::{
    Clock, Provider, ResourceKind,
    local::{LocalProvider, LocalSettings},
};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::local_git::git;
use super::targets::{bundle, name, one_of_each, plain, repository};

/// Orders of a process.
#[derive(Serialize, Deserialize)]
struct Orders {
    /// The provider to use.
    provider: ProviderSpec,
    work: Work,
}

#[derive(Serialize, Deserialize)]
enum ProviderSpec {
    /// Fake provider in this folder.
    Fake(PathBuf),
    Local(LocalSettings),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Work {
    /// Ensures one target of every kind once and prints the results.
    Ensure,
    /// Ensures and destroys one target of every kind until it is killed.
    Churn,
}

#[test]
#[ignore = "runs in the processes that the other tests of this module start"]
fn child() {
    let mut orders = String::new();
    std::io::stdin().read_line(&mut orders).unwrap();
    // Run manually with `cargo test -- --ignored`.
    if orders.is_empty() {
        return;
    }
    let orders: Orders = serde_json::from_str(&orders).unwrap();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let provider: Arc<dyn Provider> = match orders.provider {
            ProviderSpec::Fake(folder) => {
                Arc::new(FakeProvider::open(&folder, None, Clock::system()).unwrap())
            }
            ProviderSpec::Local(settings) => {
                Arc::new(LocalProvider::open(settings, Clock::system()).await.unwrap())
            }
        };
        loop {
            for target in one_of_each("acme") {
                let created = provider.ensure(&target).await.unwrap();
                println!("\nCREATED {target} {} {}", created.provider_id, created.details["head"]);
            }
            if matches!(orders.work, Work::Ensure) {
                return;
            }
            for target in one_of_each("acme").iter().rev() {
                provider.destroy(target).await.unwrap();
            }
        }
    });
}

/// Starts a process.
fn start(provider: ProviderSpec, work: Work) -> Child {
    start_in(&[], provider, work)
}

/// Starts a process with additional environment variables.
fn start_in(environment: &[(&str, &Path)], provider: ProviderSpec, work: Work) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "providers::processes::child", "--ignored", "--nocapture"])
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let orders = serde_json::to_string(&Orders { provider, work }).unwrap();
    writeln!(child.stdin.take().unwrap(), "{orders}").unwrap();
    child
}

fn fake_in(folder: &TempDir) -> ProviderSpec {
    ProviderSpec::Fake(folder.path().to_owned())
}

fn local_in(folder: &TempDir) -> ProviderSpec {
    ProviderSpec::Local(LocalSettings::new(folder.path()))
}

/// Polls until `poll` returns a value.
fn wait_for<T>(mut poll: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "the process did not reach the expected state");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the targets that a process has created, from its output.
fn created(output: ChildStdout) -> impl Iterator<Item = String> {
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("CREATED ").map(str::to_owned))
}

#[test]
fn concurrent_processes_create_one_object_per_target() {
    for provider in [local_in, fake_in] {
        let folder = tempfile::tempdir().unwrap();
        let children: Vec<_> = (0..4).map(|_| start(provider(&folder), Work::Ensure)).collect();
        let mut outputs = Vec::new();
        for mut child in children {
            outputs.push(created(child.stdout.take().unwrap()).collect::<Vec<_>>());
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(outputs[0].len(), 9);
        assert!(outputs.iter().all(|targets| *targets == outputs[0]), "{outputs:#?}");
    }
}

#[test]
fn local_provider_recovers_from_a_kill_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for round in 0..24_u32 {
        let mut child = start(local_in(&folder), Work::Churn);
        let mut outputs = created(child.stdout.take().unwrap());
        // Kills the process a little later in each round, so that every effect is interrupted at some time.
        outputs.next().unwrap();
        thread::sleep(Duration::from_millis(2) * (round * 7 % 60));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(outputs);
        runtime.block_on(assert_consistent(folder.path()));
    }
}

/// Asserts that the root folder of a killed process is consistent and usable.
async fn assert_consistent(folder: &Path) {
    let provider = LocalProvider::open(LocalSettings::new(folder), Clock::system()).await.unwrap();
    for target in one_of_each("acme") {
        let found = provider.observe(&target).await.unwrap();
        let created = provider.ensure(&target).await.unwrap();
        if let Some(found) = found {
            assert_eq!(found, created, "{target} was incomplete");
        }
        assert_eq!(provider.observe(&target).await.unwrap(), Some(created), "{target}");
    }
    for kind in ["worker", "pages", "d1", "r2", "kv", "queue", "git_repository"] {
        for entry in std::fs::read_dir(folder.join(kind)).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_str().unwrap().starts_with('.'), "{kind}/{name:?} was left behind");
        }
    }
    let acme = name("acme");
    let database = Connection::open(provider.d1(&acme).await.unwrap().unwrap()).unwrap();
    assert_eq!(
        database.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0)).unwrap(),
        "ok"
    );
    let head = provider.observe(&repository("acme", "Acme")).await.unwrap().unwrap().details["head"].clone();
    let other = provider.ensure(&repository("other", "Acme")).await.unwrap().details["head"].clone();
    assert_eq!(head, other);
    let worker = provider.worker(&acme).await.unwrap().unwrap();
    assert_eq!(worker.manifest.hash, bundle("hello").hash());
    for (path, content) in bundle("hello").files() {
        assert_eq!(&std::fs::read(worker.files.join(path)).unwrap(), content);
    }
    assert_eq!(provider.reveal_secrets(&acme).await.unwrap().len(), 1);
    provider.bucket(&acme).put("key", b"value".to_vec(), None).await.unwrap();
    provider.kv(&acme).put("key", b"value".to_vec(), None).await.unwrap();
    provider.queue(&acme).send(b"value".to_vec(), Duration::ZERO).await.unwrap();
}

#[test]
fn fake_provider_killed_before_its_response_remembers_the_effect() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = FakeProvider::open(folder.path(), None, Clock::system()).unwrap();
    let hang = Action::Hang { stage: Stage::AfterEffect, duration: None };
    let hang = Rule::new(hang).on(Operation::Ensure).kind(ResourceKind::D1);
    runtime.block_on(fake.follow([hang])).unwrap();

    let mut child = start(fake_in(&folder), Work::Ensure);
    let created = wait_for(|| {
        let live = runtime.block_on(fake.live()).unwrap();
        live.into_iter().find(|live| live.identity == "d1/acme")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let unanswered = runtime.block_on(fake.calls()).unwrap().pop().unwrap();
    assert_eq!((unanswered.identity.as_str(), unanswered.outcome), ("d1/acme", None));

    runtime.block_on(fake.follow([])).unwrap();
    let mut child = start(fake_in(&folder), Work::Ensure);
    assert!(child.wait().unwrap().success());
    let found = runtime.block_on(fake.observe(&plain(ResourceKind::D1, "acme"))).unwrap().unwrap();
    assert_eq!(found.provider_id, created.provider_id);
    assert!(runtime.block_on(fake.recreated()).unwrap().is_empty());
    assert!(runtime.block_on(fake.orphans(&one_of_each("acme"))).unwrap().is_empty());
}

/// Writes a shell script.
fn script(path: &Path, lines: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn orphaned_git_process_holds_the_lock() {
    let (folder, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (started, go, slow) =
        (aside.path().join("started"), aside.path().join("go"), aside.path().join("git"));
    let lines = format!(
        r#"case "$*" in *fast-import*) touch '{}'; while [ ! -e '{}' ]; do sleep 0.02; done;; esac; exec git "$@""#,
        started.display(),
        go.display()
    );
    script(&slow, &lines);
    let settings = LocalSettings { git: slow, ..LocalSettings::new(folder.path()) };
    let mut child = start(ProviderSpec::Local(settings), Work::Ensure);
    wait_for(|| started.exists().then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();

    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let settings = LocalSettings::new(folder.path());
        let hasty = LocalSettings { lock_timeout: Duration::from_millis(50), ..settings.clone() };
        let hasty = LocalProvider::open(hasty, Clock::system()).await.unwrap();
        let error = hasty.ensure(&repository("acme", "Acme")).await.unwrap_err();
        assert!(error.message.contains("held by others"), "{error}");
        std::fs::write(go, "").unwrap();
        let provider = LocalProvider::open(settings, Clock::system()).await.unwrap();
        let created = provider.ensure(&repository("acme", "Acme")).await.unwrap();
        let other = provider.ensure(&repository("other", "Acme")).await.unwrap();
        assert_eq!(created.details["head"], other.details["head"]);
    });
}

#[test]
fn git_ignores_the_configuration_of_the_user() {
    let (quiet, hostile) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = hostile.path();
    // If git ran this hook, no commit could be created.
    script(&home.join("reference-transaction"), "exit 1");
    let config =
        format!("[core]\n\thooksPath = {}\n[init]\n\tdefaultObjectFormat = sha256\n", home.display());
    std::fs::write(home.join(".gitconfig"), &config).unwrap();
    std::fs::create_dir(home.join("git")).unwrap();
    std::fs::write(home.join("git/config"), config).unwrap();
    let environments: [&[(&str, &Path)]; 4] = [
        &[("HOME", home)],
        &[("XDG_CONFIG_HOME", home)],
        &[("GIT_CONFIG_GLOBAL", &home.join(".gitconfig")), ("GIT_CONFIG_SYSTEM", &home.join(".gitconfig"))],
        &[
            ("GIT_DIR", &home.join("nowhere")),
            ("GIT_OBJECT_DIRECTORY", &home.join("objects")),
            ("GIT_DEFAULT_HASH", Path::new("sha256")),
            ("GIT_AUTHOR_NAME", Path::new("Mallory")),
            ("GIT_CONFIG_COUNT", Path::new("1")),
            ("GIT_CONFIG_KEY_0", Path::new("core.hooksPath")),
            ("GIT_CONFIG_VALUE_0", home),
        ],
    ];
    let head = |environment, folder: &TempDir| {
        let mut child = start_in(environment, local_in(folder), Work::Ensure);
        let outputs: Vec<_> = created(child.stdout.take().unwrap()).collect();
        assert!(child.wait().unwrap().success(), "{environment:?}");
        let repository = outputs.iter().find(|created| created.starts_with("git_repository/")).unwrap();
        repository.split(' ').next_back().unwrap().trim_matches('"').to_owned()
    };
    let expected = head(&[], &quiet);
    assert_eq!(expected.len(), 40, "{expected}");
    for environment in environments {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(head(environment, &folder), expected, "{environment:?}");
        let repository = folder.path().join("git_repository/acme.git");
        assert!(
            git(&repository, &["cat-file", "commit", &expected]).contains("\n\nStart Acme"),
            "{environment:?}"
        );
    }
}
