//! Providers used by several processes, and by processes that are killed.
//!
//! A process of this kind is this test binary again, running only [`child`], which is told by its standard input what
//! to do.

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

/// What a process is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    /// Who makes things.
    maker: Maker,
    work: Work,
}

#[derive(Serialize, Deserialize)]
enum Maker {
    /// A fake provider in this folder.
    Fake(PathBuf),
    Local(LocalSettings),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Work {
    /// Ensures one target of every kind, once, and says what it found.
    Ensure,
    /// Destroys and ensures one target of every kind until it is killed.
    Churn,
}

#[test]
#[ignore = "runs in the processes that the other tests of this module start"]
fn child() {
    let mut orders = String::new();
    std::io::stdin().read_line(&mut orders).unwrap();
    // Started by hand, by `cargo test -- --ignored`.
    if orders.is_empty() {
        return;
    }
    let orders: Orders = serde_json::from_str(&orders).unwrap();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let provider: Arc<dyn Provider> = match orders.maker {
            Maker::Fake(folder) => Arc::new(FakeProvider::open(&folder, None, Clock::system()).unwrap()),
            Maker::Local(settings) => Arc::new(LocalProvider::open(settings, Clock::system()).await.unwrap()),
        };
        loop {
            for target in one_of_each("acme") {
                let made = provider.ensure(&target).await.unwrap();
                println!("\nMADE {target} {} {}", made.provider_id, made.details["head"]);
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
fn start(maker: Maker, work: Work) -> Child {
    start_in(&[], maker, work)
}

/// Starts a process with more in its environment.
fn start_in(environment: &[(&str, &Path)], maker: Maker, work: Work) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "providers::processes::child", "--ignored", "--nocapture"])
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let orders = serde_json::to_string(&Orders { maker, work }).unwrap();
    writeln!(child.stdin.take().unwrap(), "{orders}").unwrap();
    child
}

fn fake_in(folder: &TempDir) -> Maker {
    Maker::Fake(folder.path().to_owned())
}

fn local_in(folder: &TempDir) -> Maker {
    Maker::Local(LocalSettings::new(folder.path()))
}

/// Waits until `there` says that something is there.
fn wait_for<T>(mut there: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "the process never got there");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What a process says it has made.
fn made(output: ChildStdout) -> impl Iterator<Item = String> {
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("MADE ").map(str::to_owned))
}

#[test]
fn four_processes_at_once_make_one_of_each() {
    for maker in [local_in, fake_in] {
        let folder = tempfile::tempdir().unwrap();
        let children: Vec<_> = (0..4).map(|_| start(maker(&folder), Work::Ensure)).collect();
        let mut said = Vec::new();
        for mut child in children {
            said.push(made(child.stdout.take().unwrap()).collect::<Vec<_>>());
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(said[0].len(), 9);
        assert!(said.iter().all(|made| *made == said[0]), "{said:#?}");
    }
}

#[test]
fn a_local_provider_killed_at_any_moment_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for round in 0..24_u32 {
        let mut child = start(local_in(&folder), Work::Churn);
        let mut said = made(child.stdout.take().unwrap());
        // From its first effect on, a little later each time, so that every effect is hit sooner or later.
        said.next().unwrap();
        thread::sleep(Duration::from_millis(2) * (round * 7 % 60));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(said);
        runtime.block_on(everything_is_whole(folder.path()));
    }
}

/// Opens the root a process was killed over, and looks whether what is there is whole and can be used.
async fn everything_is_whole(folder: &Path) {
    let provider = LocalProvider::open(LocalSettings::new(folder), Clock::system()).await.unwrap();
    for target in one_of_each("acme") {
        let found = provider.observe(&target).await.unwrap();
        let made = provider.ensure(&target).await.unwrap();
        if let Some(found) = found {
            assert_eq!(found, made, "{target}: what was there was whole");
        }
        assert_eq!(provider.observe(&target).await.unwrap(), Some(made), "{target}");
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
fn a_fake_provider_killed_between_effect_and_answer_knows_what_it_made() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = FakeProvider::open(folder.path(), None, Clock::system()).unwrap();
    let hang = Action::Hang { stage: Stage::AfterEffect, duration: None };
    let hang = Rule::new(hang).on(Operation::Ensure).kind(ResourceKind::D1);
    runtime.block_on(fake.follow([hang])).unwrap();

    let mut child = start(fake_in(&folder), Work::Ensure);
    let made = wait_for(|| {
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
    assert_eq!(found.provider_id, made.provider_id);
    assert!(runtime.block_on(fake.recreated()).unwrap().is_empty());
    assert!(runtime.block_on(fake.orphans(&one_of_each("acme"))).unwrap().is_empty());
}

/// Writes a shell script.
fn script(path: &Path, lines: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_git_that_outlives_its_process_is_waited_for() {
    let (folder, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (begun, go, slow) = (aside.path().join("begun"), aside.path().join("go"), aside.path().join("git"));
    let lines = format!(
        r#"case "$*" in *fast-import*) touch '{}'; while [ ! -e '{}' ]; do sleep 0.02; done;; esac; exec git "$@""#,
        begun.display(),
        go.display()
    );
    script(&slow, &lines);
    let settings = LocalSettings { git: slow, ..LocalSettings::new(folder.path()) };
    let mut child = start(Maker::Local(settings), Work::Ensure);
    wait_for(|| begun.exists().then_some(()));
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
        let made = provider.ensure(&repository("acme", "Acme")).await.unwrap();
        let other = provider.ensure(&repository("other", "Acme")).await.unwrap();
        assert_eq!(made.details["head"], other.details["head"]);
    });
}

#[test]
fn git_does_not_listen_to_who_runs_it() {
    let (quiet, hostile) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = hostile.path();
    // Were it run, no commit could be made.
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
        let said: Vec<_> = made(child.stdout.take().unwrap()).collect();
        assert!(child.wait().unwrap().success(), "{environment:?}");
        let repository = said.iter().find(|made| made.starts_with("git_repository/")).unwrap();
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
