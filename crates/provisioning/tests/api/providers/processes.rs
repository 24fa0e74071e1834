//! Providers used by several processes, and by processes that are killed.
//!
//! A process of this kind is this test binary again, running only [`child`], which is told by its standard input what
//! to do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use provisioning::providers::fake::{Action, FakeProvider, Operation, Rule, Stage};
use provisioning::providers::local::{LocalProvider, LocalSettings};
use provisioning::providers::{Clock, Provider, ResourceKind};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::targets::{bundle, name, one_of_each, plain, repository};

/// What a process is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    folder: std::path::PathBuf,
    fake: bool,
    work: Work,
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
        let provider: Arc<dyn Provider> = if orders.fake {
            Arc::new(FakeProvider::open(&orders.folder, None, Clock::system()).unwrap())
        } else {
            Arc::new(LocalProvider::open(LocalSettings::new(orders.folder), Clock::system()).await.unwrap())
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
fn start(folder: &Path, fake: bool, work: Work) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "providers::processes::child", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let orders = serde_json::to_string(&Orders { folder: folder.to_owned(), fake, work }).unwrap();
    writeln!(child.stdin.take().unwrap(), "{orders}").unwrap();
    child
}

/// What a process says it has made.
fn made(output: ChildStdout) -> impl Iterator<Item = String> {
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("MADE ").map(str::to_owned))
}

#[test]
fn four_processes_at_once_make_one_of_each() {
    for fake in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let children: Vec<_> = (0..4).map(|_| start(folder.path(), fake, Work::Ensure)).collect();
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
        let mut child = start(folder.path(), false, Work::Churn);
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
    for kind in ["worker", "pages", "d1", "r2", "kv", "queue", "git_repository"] {
        for entry in std::fs::read_dir(folder.join(kind)).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_str().unwrap().starts_with('.'), "{kind}/{name:?} was left behind");
        }
    }
    for target in one_of_each("acme") {
        let found = provider.observe(&target).await.unwrap();
        let made = provider.ensure(&target).await.unwrap();
        if let Some(found) = found {
            assert_eq!(found, made, "{target}: what was there was whole");
        }
        assert_eq!(provider.observe(&target).await.unwrap(), Some(made), "{target}");
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

    let mut child = start(folder.path(), true, Work::Ensure);
    let since = Instant::now();
    let made = loop {
        let live = runtime.block_on(fake.live()).unwrap();
        if let Some(made) = live.into_iter().find(|live| live.identity == "d1/acme") {
            break made;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "the process never got there");
        thread::sleep(Duration::from_millis(5));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let unanswered = runtime.block_on(fake.calls()).unwrap().pop().unwrap();
    assert_eq!((unanswered.identity.as_str(), unanswered.outcome), ("d1/acme", None));

    runtime.block_on(fake.follow([])).unwrap();
    let mut child = start(folder.path(), true, Work::Ensure);
    assert!(child.wait().unwrap().success());
    let found = runtime.block_on(fake.observe(&plain(ResourceKind::D1, "acme"))).unwrap().unwrap();
    assert_eq!(found.provider_id, made.provider_id);
    assert!(runtime.block_on(fake.made_again()).unwrap().is_empty());
    assert!(runtime.block_on(fake.orphans(&one_of_each("acme"))).unwrap().is_empty());
}

#[test]
fn git_does_not_listen_to_who_runs_it() {
    let hostile = tempfile::tempdir().unwrap();
    let config = "[init]\n\tdefaultBranch = trunk\n\tdefaultObjectFormat = sha256\n[core]\n\tautocrlf = true\n\
                  [commit]\n\tgpgSign = true\n[user]\n\tname = Mallory\n[i18n]\n\tcommitEncoding = latin1\n";
    std::fs::write(hostile.path().join(".gitconfig"), config).unwrap();
    let run = |hostile: Option<&Path>| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "providers::processes::child", "--ignored", "--nocapture"]);
        if let Some(home) = hostile {
            command
                .env("HOME", home)
                .env("XDG_CONFIG_HOME", home)
                .env("GIT_CONFIG_GLOBAL", home.join(".gitconfig"))
                .env("GIT_DIR", home.join("nowhere"))
                .env("GIT_OBJECT_DIRECTORY", home.join("objects"))
                .env("GIT_NAMESPACE", "elsewhere")
                .env("GIT_DEFAULT_HASH", "sha256")
                .env("GIT_AUTHOR_NAME", "Mallory")
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", "init.defaultBranch")
                .env("GIT_CONFIG_VALUE_0", "trunk")
                .env("LANG", "de_DE.UTF-8");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = Orders { folder: folder.path().to_owned(), fake: false, work: Work::Ensure };
        writeln!(child.stdin.take().unwrap(), "{}", serde_json::to_string(&orders).unwrap()).unwrap();
        let said: Vec<_> = made(child.stdout.take().unwrap()).collect();
        assert!(child.wait().unwrap().success());
        let repository = said.iter().find(|made| made.starts_with("git_repository/")).unwrap();
        repository.split(' ').next_back().unwrap().to_owned()
    };
    let head = run(None);
    assert_eq!(head.len(), 42, "{head}");
    assert_eq!(run(Some(hostile.path())), head);
}
