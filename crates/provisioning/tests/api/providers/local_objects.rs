//! Buckets of the local provider.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use provisioning::providers::{ErrorKind, Provider as _, ResourceKind};

use super::targets::{name, plain};
use super::{Local, movable_clock, walk};

#[tokio::test]
async fn objects_can_be_put_read_listed_and_deleted() {
    let (clock, now) = movable_clock();
    let local = Local::at(clock).await;
    let bucket = local.provider.bucket(&name("acme"));
    let missing = bucket.put("a", vec![], None).await.unwrap_err();
    assert!(missing.message.contains("does not exist"), "{missing}");
    local.provider.ensure(&plain(ResourceKind::R2, "acme")).await.unwrap();

    let info = bucket.put("a/b.txt", b"hello".to_vec(), Some("text/plain")).await.unwrap();
    assert_eq!(info.etag, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!((info.size, info.uploaded_at), (5, now.load(Ordering::SeqCst)));
    let object = bucket.get("a/b.txt").await.unwrap().unwrap();
    assert_eq!((object.info.clone(), object.content.as_slice()), (info.clone(), b"hello".as_slice()));
    assert_eq!(bucket.head("a/b.txt").await.unwrap(), Some(info.clone()));
    assert_eq!(bucket.get("a").await.unwrap(), None);

    now.fetch_add(5, Ordering::SeqCst);
    let binary = b"\n{}\n\0\xff".to_vec();
    let replaced = bucket.put("a/b.txt", binary.clone(), None).await.unwrap();
    assert_eq!(replaced.content_type, "application/octet-stream");
    assert_eq!((replaced.uploaded_at, replaced.etag != info.etag), (info.uploaded_at + 5, true));
    assert_eq!(bucket.get("a/b.txt").await.unwrap().unwrap().content, binary);

    for key in ["a", "a/c", "b", "a/ä", "a.txt"] {
        bucket.put(key, key.into(), None).await.unwrap();
    }
    let keys = async |prefix: &str, cursor: Option<&str>, limit| {
        let page = bucket.list(prefix, cursor, limit).await.unwrap();
        (page.objects.into_iter().map(|object| object.key).collect::<Vec<_>>(), page.cursor)
    };
    assert_eq!(
        keys("", None, 9).await,
        (["a", "a.txt", "a/b.txt", "a/c", "a/ä", "b"].map(str::to_owned).to_vec(), None)
    );
    assert_eq!(
        keys("a/", None, 2).await,
        (["a/b.txt", "a/c"].map(str::to_owned).to_vec(), Some("a/c".to_owned()))
    );
    assert_eq!(keys("a/", Some("a/c"), 2).await, (vec!["a/ä".to_owned()], None));
    assert_eq!(keys("nothing", None, 2).await, (vec![], None));

    assert!(bucket.delete("a/c").await.unwrap());
    assert!(!bucket.delete("a/c").await.unwrap());
    assert_eq!(bucket.get("a/c").await.unwrap(), None);
    for key in [String::new(), "k".repeat(1025)] {
        assert_eq!(bucket.put(&key, vec![], None).await.unwrap_err().kind, ErrorKind::Permanent);
    }
    local.provider.destroy(&plain(ResourceKind::R2, "acme")).await.unwrap();
    assert!(bucket.get("a").await.unwrap_err().message.contains("does not exist"));
    assert!(bucket.list("", None, 9).await.unwrap_err().message.contains("does not exist"));
    assert!(!local.root.path().join("r2/acme").exists());
    local.provider.ensure(&plain(ResourceKind::R2, "acme")).await.unwrap();
    assert_eq!(keys("", None, 9).await, (vec![], None));
}

#[tokio::test]
async fn remains_of_killed_puts_are_removed_after_a_day() {
    let local = Local::new().await;
    let target = plain(ResourceKind::R2, "acme");
    local.provider.ensure(&target).await.unwrap();
    let staging = local.root.path().join("r2/acme/staging");
    let abandoned = fs::File::create(staging.join("abandoned")).unwrap();
    abandoned.set_modified(SystemTime::now() - Duration::from_hours(25)).unwrap();
    fs::write(staging.join("in progress"), "half").unwrap();
    local.provider.ensure(&target).await.unwrap();
    let left: Vec<_> = fs::read_dir(&staging).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["in progress"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_sees_a_complete_object_during_replacement() {
    let local = Local::new().await;
    local.provider.ensure(&plain(ResourceKind::R2, "acme")).await.unwrap();
    let bucket = local.provider.bucket(&name("acme"));
    bucket.put("key", vec![0; 4096], None).await.unwrap();
    let writers: Vec<_> = (1..=4_u8)
        .map(|writer| {
            let bucket = bucket.clone();
            tokio::spawn(async move {
                for round in 0..10 {
                    bucket.put("key", vec![writer; 4096 + round], None).await.unwrap();
                }
            })
        })
        .collect();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let object = bucket.get("key").await.unwrap().unwrap();
        assert!(object.content.iter().all(|byte| *byte == object.content[0]));
        assert_eq!(object.info.size, object.content.len() as u64);
        assert_eq!(bucket.list("", None, 9).await.unwrap().objects.len(), 1);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(fs::read_dir(local.root.path().join("r2/acme/staging")).unwrap().next().is_none());
}

#[tokio::test]
async fn damaged_object_is_an_error() {
    let local = Local::new().await;
    local.provider.ensure(&plain(ResourceKind::R2, "acme")).await.unwrap();
    let bucket = local.provider.bucket(&name("acme"));
    bucket.put("key", vec![7; 100], None).await.unwrap();
    let path = local.root.path().join("r2/acme/objects/key");
    let complete = fs::read(&path).unwrap();
    for length in [complete.len() - 1, 10, 0] {
        fs::write(&path, &complete[..length]).unwrap();
        assert_eq!(bucket.get("key").await.unwrap_err().kind, ErrorKind::Permanent, "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_text_is_a_distinct_key(mut keys in proptest::collection::btree_set("\\PC{1,40}|[./\\\\+%A-Za\u{0}]{1,340}", 1..8)) {
        keys.extend([".", "..", "../../../x", "/", "a/../b", "a+", "a", "A", "%2e", "a/", "/a", "\u{0}"].map(str::to_owned));
        keys.extend(["é".to_owned(), "e\u{301}".to_owned(), "%".repeat(1024), "x".repeat(200), "x".repeat(201)]);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let local = Local::new().await;
            let before = walk(local.root.path());
            local.provider.ensure(&plain(ResourceKind::R2, "acme")).await.unwrap();
            let bucket = local.provider.bucket(&name("acme"));
            for key in &keys {
                bucket.put(key, key.clone().into_bytes(), None).await.unwrap();
            }
            for key in &keys {
                let object = bucket.get(key).await.unwrap().unwrap();
                assert_eq!((&object.info.key, &object.content), (key, &key.clone().into_bytes()));
            }
            let listed = bucket.list("", None, usize::MAX).await.unwrap().objects;
            assert!(listed.iter().map(|object| &object.key).eq(&keys));
            let objects = local.root.path().join("r2/acme/objects");
            // Distinct also on case-insensitive file systems.
            let files = walk(&objects);
            let folded: BTreeSet<_> = files.iter().map(|path| path.to_lowercase()).collect();
            assert_eq!(folded.len(), files.len());
            let outside = walk(local.root.path())
                .into_iter()
                .filter(|path| !path.starts_with(objects.to_str().unwrap()) && !before.contains(path));
            assert_eq!(outside.count(), 4); // the bucket, its owner, its identity, its staging
        });
    }
}
