//! SQLite stores of the local provider (D1, KV, queues and routes), and properties of all its targets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use provisioning::providers::{
    Clock, ErrorKind, HostName, Provider as _, ResourceKind, Target,
    local::{LocalProvider, LocalSettings, Route},
};
use rusqlite::Connection;

use super::targets::{name, one_of_each, plain};
use super::{Local, movable_clock, walk};

#[tokio::test]
async fn root_folder_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("not/there/yet");
    let settings = LocalSettings::new(&root);
    LocalProvider::open(settings, Clock::system()).await.unwrap();
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn wait_for_a_locked_target_times_out() {
    let root = tempfile::tempdir().unwrap();
    let settings =
        LocalSettings { lock_timeout: Duration::from_millis(50), ..LocalSettings::new(root.path()) };
    let provider = LocalProvider::open(settings, Clock::system()).await.unwrap();
    let held = fs::File::create(root.path().join("locks/d1.acme-db")).unwrap();
    held.lock().unwrap();
    let error = provider.ensure(&plain(ResourceKind::D1, "acme-db")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retryable);
    assert!(error.message.contains("held by others"), "{error}");
    assert_eq!(
        provider.destroy(&plain(ResourceKind::D1, "acme-db")).await.unwrap_err().kind,
        ErrorKind::Retryable
    );
    // Other targets and `observe` are not blocked.
    provider.ensure(&plain(ResourceKind::D1, "other")).await.unwrap();
    assert_eq!(provider.observe(&plain(ResourceKind::D1, "acme-db")).await.unwrap(), None);
    held.unlock().unwrap();
    provider.ensure(&plain(ResourceKind::D1, "acme-db")).await.unwrap();
}

#[tokio::test]
async fn remains_of_crashes_are_removed_at_start() {
    let local = Local::new().await;
    for target in one_of_each("acme") {
        local.provider.ensure(&target).await.unwrap();
    }
    let before = walk(local.root.path());
    for kind in ["worker", "pages", "d1", "r2", "kv", "queue", "git_repository"] {
        for left in [".forgotten.new", ".acme.new", ".acme.old"] {
            fs::create_dir_all(local.root.path().join(kind).join(left).join("a/b")).unwrap();
        }
    }
    let in_use = local.root.path().join("d1/.busy.new");
    fs::create_dir(&in_use).unwrap();
    let held = fs::File::create(local.root.path().join("locks/d1.busy")).unwrap();
    held.lock().unwrap();
    let open = LocalProvider::open(LocalSettings::new(local.root.path()), Clock::system());
    tokio::time::timeout(Duration::from_secs(15), open)
        .await
        .expect("the start must not wait for locks")
        .unwrap();
    assert!(in_use.exists(), "a locked target must not be removed");
    drop(held);
    LocalProvider::open(LocalSettings::new(local.root.path()), Clock::system()).await.unwrap();
    assert_eq!(walk(local.root.path()), before);
}

#[tokio::test]
async fn observe_has_no_side_effects() {
    let local = Local::new().await;
    let before = walk(local.root.path());
    for target in one_of_each("acme") {
        assert_eq!(local.provider.observe(&target).await.unwrap(), None);
    }
    for target in one_of_each("acme") {
        local.provider.ensure(&target).await.unwrap();
        let created = walk(local.root.path());
        local.provider.observe(&target).await.unwrap().unwrap();
        assert_eq!(walk(local.root.path()), created, "{target}");
    }
    for target in one_of_each("acme").iter().rev() {
        local.provider.destroy(target).await.unwrap();
    }
    assert_eq!(walk(local.root.path()), before);
}

#[tokio::test]
async fn d1_database_is_an_sqlite_file() {
    let local = Local::new().await;
    let target = plain(ResourceKind::D1, "acme-db");
    let created = local.provider.ensure(&target).await.unwrap();
    let path = local.provider.d1(&name("acme-db")).await.unwrap().unwrap();
    assert_eq!(created.url.unwrap(), format!("file://{}", path.display()));

    let database = Connection::open(&path).unwrap();
    let mode: String = database.query_row("PRAGMA journal_mode", (), |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    let id: String = database.query_row("SELECT id FROM _nno", (), |row| row.get(0)).unwrap();
    assert_eq!(id, created.provider_id);
    database.execute_batch("CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('ada')").unwrap();

    // While the database is open, and after it is closed.
    assert_eq!(local.provider.ensure(&target).await.unwrap().provider_id, id);
    drop(database);
    assert_eq!(local.provider.ensure(&target).await.unwrap().provider_id, id);
    let database = Connection::open(&path).unwrap();
    assert_eq!(
        database.query_row("SELECT name FROM users", (), |row| row.get::<_, String>(0)).unwrap(),
        "ada"
    );
}

#[tokio::test]
async fn connection_to_a_destroyed_database_does_not_affect_its_successor() {
    // SQLite opens the log of a database when a connection is first used. If the next database had the same path, this
    // would be its log.
    for used_before in [true, false] {
        let local = Local::new().await;
        let target = plain(ResourceKind::D1, "acme-db");
        local.provider.ensure(&target).await.unwrap();
        let old = Connection::open(local.provider.d1(&name("acme-db")).await.unwrap().unwrap()).unwrap();
        if used_before {
            old.execute_batch("CREATE TABLE before (x)").unwrap();
        }
        local.provider.destroy(&target).await.unwrap();
        local.provider.ensure(&target).await.unwrap();
        let path = local.provider.d1(&name("acme-db")).await.unwrap().unwrap();
        let new = Connection::open(&path).unwrap();
        new.execute_batch("CREATE TABLE new (x); INSERT INTO new VALUES (2)").unwrap();
        drop(old.execute_batch("CREATE TABLE old (x); INSERT INTO old VALUES (3)"));
        drop(old);
        new.execute_batch("INSERT INTO new VALUES (4)").unwrap();

        let other = Connection::open(&path).unwrap();
        assert_eq!(other.query_row("SELECT sum(x) FROM new", (), |row| row.get::<_, i64>(0)).unwrap(), 6);
        assert_eq!(
            other.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0)).unwrap(),
            "ok"
        );
        let tables = "SELECT group_concat(name) FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        assert_eq!(other.query_row(tables, (), |row| row.get::<_, String>(0)).unwrap(), "_nno,new");
    }
}

#[tokio::test]
async fn existing_database_is_adopted() {
    let local = Local::new().await;
    let folder = local.root.path().join("d1/acme-db");
    fs::create_dir(&folder).unwrap();
    let restored = Connection::open(folder.join("backup.sqlite")).unwrap();
    restored.execute_batch("CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('ada')").unwrap();
    drop(restored);
    let target = plain(ResourceKind::D1, "acme-db");
    assert_eq!(local.provider.observe(&target).await.unwrap(), None);
    let created = local.provider.ensure(&target).await.unwrap();
    assert_eq!(local.provider.ensure(&target).await.unwrap(), created);
    let database = Connection::open(local.provider.d1(&name("acme-db")).await.unwrap().unwrap()).unwrap();
    assert_eq!(
        database.query_row("SELECT name FROM users", (), |row| row.get::<_, String>(0)).unwrap(),
        "ada"
    );
}

#[tokio::test]
async fn unknown_files_are_not_changed() {
    let local = Local::new().await;
    for (kind, file, content) in [
        ("d1/acme-db", "notes.txt", "mine"),
        (
            "kv/acme-kv",
            "a.sqlite",
            "this is not a database, but somebody wanted it; it is longer than a header",
        ),
    ] {
        let folder = local.root.path().join(kind);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(file), content).unwrap();
        let (kind, target) = kind.split_once('/').unwrap();
        let kind = if kind == "d1" { ResourceKind::D1 } else { ResourceKind::Kv };
        let error = local.provider.ensure(&plain(kind, target)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Permanent, "{error}");
        assert_eq!(fs::read_to_string(folder.join(file)).unwrap(), content);
    }
}

#[tokio::test]
async fn values_can_be_put_read_listed_and_expire() {
    let (clock, now) = movable_clock();
    let local = Local::at(clock).await;
    let kv = local.provider.kv(&name("acme"));
    assert!(kv.get("a").await.unwrap_err().message.contains("does not exist"));
    let target = plain(ResourceKind::Kv, "acme");
    local.provider.ensure(&target).await.unwrap();

    kv.put("a", b"1".to_vec(), None).await.unwrap();
    kv.put("a", b"2".to_vec(), None).await.unwrap();
    kv.put("b", b"\0\xff".to_vec(), Some(Duration::from_secs(60))).await.unwrap();
    kv.put("pre:x\0y", b"3".to_vec(), None).await.unwrap();
    kv.put("pre:ä", b"4".to_vec(), None).await.unwrap();
    kv.put("prf", b"5".to_vec(), None).await.unwrap();
    assert_eq!(kv.get("a").await.unwrap(), Some(b"2".to_vec()));
    assert_eq!(kv.get("b").await.unwrap(), Some(b"\0\xff".to_vec()));
    assert_eq!(kv.get("pre:x").await.unwrap(), None);

    let keys = async |prefix: &str, cursor: Option<&str>, limit| {
        let page = kv.list(prefix, cursor, limit).await.unwrap();
        (page.keys.into_iter().map(|key| key.name).collect::<Vec<_>>(), page.cursor)
    };
    assert_eq!(
        keys("", None, 9).await,
        (["a", "b", "pre:x\0y", "pre:ä", "prf"].map(str::to_owned).to_vec(), None)
    );
    assert_eq!(keys("", None, 2).await, (["a", "b"].map(str::to_owned).to_vec(), Some("b".to_owned())));
    assert_eq!(keys("pre:", None, 1).await, (vec!["pre:x\0y".to_owned()], Some("pre:x\0y".to_owned())));
    assert_eq!(keys("pre:", Some("pre:x\0y"), 1).await, (vec!["pre:ä".to_owned()], None));

    now.fetch_add(59_999, Ordering::SeqCst);
    assert!(kv.get("b").await.unwrap().is_some());
    now.fetch_add(1, Ordering::SeqCst);
    assert_eq!(kv.get("b").await.unwrap(), None);
    assert_eq!(keys("b", None, 9).await, (vec![], None));
    assert!(!kv.delete("b").await.unwrap());
    assert!(kv.delete("a").await.unwrap());
    assert!(!kv.delete("a").await.unwrap());
    for key in [String::new(), "k".repeat(513)] {
        assert_eq!(kv.put(&key, vec![], None).await.unwrap_err().kind, ErrorKind::Permanent);
    }
    assert_eq!(
        kv.put("k", vec![0; 25 * 1024 * 1024 + 1], None).await.unwrap_err().kind,
        ErrorKind::Permanent
    );
}

#[tokio::test]
async fn handle_works_after_its_namespace_is_recreated() {
    let local = Local::new().await;
    let target = plain(ResourceKind::Kv, "acme");
    let kv = local.provider.kv(&name("acme"));
    local.provider.ensure(&target).await.unwrap();
    kv.put("a", b"1".to_vec(), None).await.unwrap();
    // Another process reads the namespace and ensures it while it is in use.
    let other = LocalProvider::open(LocalSettings::new(local.root.path()), Clock::system()).await.unwrap();
    assert_eq!(other.kv(&name("acme")).get("a").await.unwrap(), Some(b"1".to_vec()));
    other.ensure(&target).await.unwrap();
    assert_eq!(kv.get("a").await.unwrap(), Some(b"1".to_vec()));

    other.destroy(&target).await.unwrap();
    assert!(kv.get("a").await.unwrap_err().message.contains("does not exist"));
    other.ensure(&target).await.unwrap();
    assert_eq!(kv.get("a").await.unwrap(), None);
    kv.put("a", b"2".to_vec(), None).await.unwrap();
    assert_eq!(other.kv(&name("acme")).get("a").await.unwrap(), Some(b"2".to_vec()));
}

#[tokio::test]
async fn message_stays_until_it_is_acknowledged() {
    let (clock, now) = movable_clock();
    let local = Local::at(clock).await;
    let queue = local.provider.queue(&name("acme"));
    local.provider.ensure(&plain(ResourceKind::Queue, "acme")).await.unwrap();
    let minute = Duration::from_secs(60);
    let pass = |time: Duration| now.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);

    for body in ["one", "two", "three"] {
        queue.send(body.into(), Duration::ZERO).await.unwrap();
    }
    queue.send("later".into(), 5 * minute).await.unwrap();
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.visible, depth.hidden), (3, 1));

    let got = queue.receive(2, minute).await.unwrap();
    assert_eq!(
        got.iter().map(|m| (m.body.as_slice(), m.attempts)).collect::<Vec<_>>(),
        [(&b"one"[..], 1), (b"two", 1)]
    );
    let rest = queue.receive(9, minute).await.unwrap();
    assert_eq!(rest.iter().map(|m| m.body.as_slice()).collect::<Vec<_>>(), [b"three"]);
    assert!(queue.receive(9, minute).await.unwrap().is_empty());
    assert!(queue.ack(&got[0].receipt).await.unwrap());
    assert!(!queue.ack(&got[0].receipt).await.unwrap());
    assert!(queue.release(&rest[0].receipt, Duration::ZERO).await.unwrap());
    assert!(!queue.ack(&rest[0].receipt).await.unwrap());
    assert_eq!(queue.receive(9, 9 * minute).await.unwrap()[0].attempts, 2);

    // "two" was not acknowledged in time, so it is delivered again and its first receipt is invalid.
    pass(minute);
    let again = queue.receive(9, minute).await.unwrap();
    assert_eq!(again.iter().map(|m| (m.body.as_slice(), m.attempts)).collect::<Vec<_>>(), [(&b"two"[..], 2)]);
    assert_eq!(again[0].id, got[1].id);
    assert!(!queue.ack(&got[1].receipt).await.unwrap());
    assert!(queue.ack(&again[0].receipt).await.unwrap());
    pass(4 * minute);
    assert_eq!(queue.receive(9, minute).await.unwrap()[0].body, b"later");
    assert_eq!(queue.send(vec![0; 128 * 1024 + 1], minute).await.unwrap_err().kind, ErrorKind::Permanent);
}

#[tokio::test(flavor = "multi_thread")]
async fn message_is_delivered_to_one_receiver() {
    let local = Local::new().await;
    local.provider.ensure(&plain(ResourceKind::Queue, "acme")).await.unwrap();
    for n in 0..40_u8 {
        local.provider.queue(&name("acme")).send(vec![n], Duration::ZERO).await.unwrap();
    }
    // Each has its own connection, like a separate process.
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let queue = local.provider.queue(&name("acme"));
            tokio::spawn(async move {
                let mut bodies = Vec::new();
                loop {
                    let got = queue.receive(3, Duration::from_secs(60)).await.unwrap();
                    if got.is_empty() {
                        return bodies;
                    }
                    for message in got {
                        assert!(queue.ack(&message.receipt).await.unwrap());
                        bodies.extend(message.body);
                    }
                }
            })
        })
        .collect();
    let mut bodies = Vec::new();
    for receiver in receivers {
        bodies.extend(receiver.await.unwrap());
    }
    bodies.sort_unstable();
    assert_eq!(bodies, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn routes_map_host_names_to_targets() {
    let local = Local::new().await;
    let hostname = HostName::parse("api.acme.test").unwrap();
    assert_eq!(local.provider.routes().resolve(&hostname).await.unwrap(), None);
    for (from, to) in [("WEB.acme.test", "acme-web"), ("api.acme.test", "old"), ("api.acme.test", "acme-api")]
    {
        local.provider.ensure(&Target::dns(&super::targets::owner(), from, to).unwrap()).await.unwrap();
    }
    assert_eq!(local.provider.routes().resolve(&hostname).await.unwrap().as_deref(), Some("acme-api"));
    let route = |hostname: &str, target: &str| Route { hostname: hostname.into(), target: target.into() };
    let all = local.provider.routes().all().await.unwrap();
    assert_eq!(all, [route("api.acme.test", "acme-api"), route("web.acme.test", "acme-web")]);
}
