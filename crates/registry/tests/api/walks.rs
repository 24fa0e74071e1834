//! Reads lists page by page during concurrent writes. No object appears twice, and objects that exist throughout are
//! not missing.

use std::{
    collections::{BTreeSet, HashSet},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde_json::json;

use crate::world::{World, ids};

/// Returns the ids on all pages, in order.
async fn walk(world: &World, path: &str, limit: usize) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("{path}?limit={limit}{cursor}")).await.expect(200);
        found.extend(ids(&page));
        match page["pagination"]["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

fn all_different(found: &[String]) -> bool {
    found.iter().collect::<HashSet<_>>().len() == found.len()
}

/// Reads the list repeatedly while writers run until all reads are done.
async fn while_writing(
    world: &World,
    list: &str,
    stayed: &BTreeSet<String>,
    write: impl AsyncFn(usize, usize),
) {
    let (done, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let writer = async |writer_id: usize| {
        let mut n = 0;
        while !done.load(Ordering::Relaxed) {
            write(writer_id, n).await;
            written.fetch_add(1, Ordering::Relaxed);
            n += 1;
        }
    };
    let walker = async {
        let mut moved = BTreeSet::new();
        for (round, limit) in [1, 2, 3, 7, 7, 7].into_iter().cycle().enumerate() {
            // Until enough writes have interfered with the reads.
            if round >= 6 && written.load(Ordering::Relaxed) >= 60 && !moved.is_empty() {
                break;
            }
            assert!(round < 1000, "nothing was written meanwhile");
            let found = walk(world, list, limit).await;
            assert!(all_different(&found), "an object appears twice, with {limit} to a page: {found:?}");
            let found: BTreeSet<String> = found.into_iter().collect();
            let missing: Vec<_> = stayed.difference(&found).collect();
            assert!(missing.is_empty(), "objects are missing, with {limit} to a page: {missing:?}");
            moved.extend(found.difference(stayed).cloned());
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(walker, writer(0), writer(1), writer(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn platform_list_is_stable_while_platforms_are_written() {
    let world = World::start().await;
    let (mut stayed, mut go) = (BTreeSet::new(), Vec::new());
    for n in 0..60 {
        let id = world.platform(&format!("p{n}")).await;
        if n % 3 == 0 { go.push(id) } else { assert!(stayed.insert(id)) }
    }
    let go = std::sync::Mutex::new(go);
    // Many with the same time, so that the id decides.
    world.sql("UPDATE platforms SET created_at = date_trunc('second', created_at)").await;
    while_writing(&world, "/api/v1/platforms", &stayed, async |writer_id, n| {
        let id = go.lock().unwrap().pop();
        match id {
            Some(id) => drop(world.delete(&format!("/api/v1/platforms/{id}")).await.expect(200)),
            None => {
                let id = world.platform(&format!("new-{writer_id}-{n}")).await;
                if n % 2 == 0 {
                    world.delete(&format!("/api/v1/platforms/{id}")).await.expect(200);
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entity_list_is_stable_while_entities_are_written() {
    let world = World::start().await;
    let platform = world.platform("shop").await;
    let list = format!("/api/v1/platforms/{platform}/entities");
    let (mut stayed, mut go) = (BTreeSet::new(), Vec::new());
    for n in 0..60 {
        let id = world.tenant(&platform, &format!("t{n}")).await;
        if n % 3 == 0 { go.push(id) } else { assert!(stayed.insert(id)) }
    }
    let go = std::sync::Mutex::new(go);
    world.sql("UPDATE entities SET created_at = date_trunc('second', created_at)").await;
    while_writing(&world, &list, &stayed, async |writer_id, n| {
        let id = go.lock().unwrap().pop();
        match id {
            Some(id) => drop(world.delete(&format!("{list}/{id}")).await.expect(200)),
            None => {
                let id = world.tenant(&platform, &format!("new-{writer_id}-{n}")).await;
                if n % 2 == 0 {
                    world.delete(&format!("{list}/{id}")).await.expect(200);
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_list_is_stable_while_entries_are_written() {
    let world = World::start().await;
    let platform = world.platform("shop").await;
    let tenant = world.tenant(&platform, "t").await;
    let own = format!("/api/v1/platforms/{platform}/entities/{tenant}");
    for n in 0..40 {
        world.patch(&own, json!({ "name": format!("Name {n}") })).await.expect(200);
    }
    let list = format!("/api/v1/platforms/{platform}/audit");
    let stayed: BTreeSet<String> = walk(&world, &list, 100).await.into_iter().collect();
    assert_eq!(stayed.len(), 42);
    while_writing(&world, &list, &stayed, async |writer_id, n| {
        world.patch(&own, json!({ "name": format!("Name {writer_id} {n}") })).await.expect(200);
    })
    .await;
}
