//! Concurrent requests: one succeeds, the others get an error, and the counters stay correct.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Response;

use crate::world::{World, ids, resource_body, text};

const CLIENTS: usize = 64;

/// Counts the responses by status and code.
fn count_by_status(answers: &[Response]) -> BTreeMap<(u16, String), usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        let code = answer.body.pointer("/error/code").and_then(Value::as_str).unwrap_or_default();
        *counts.entry((answer.status.as_u16(), code.to_owned())).or_default() += 1;
    }
    counts
}

fn expected<const N: usize>(counts: [(u16, &str, usize); N]) -> BTreeMap<(u16, String), usize> {
    counts.into_iter().map(|(status, code, n)| ((status, code.to_owned()), n)).collect()
}

impl World {
    /// Sixteen requests run at once on two threads, and the others wait: tests that run at the same time need
    /// connections too.
    async fn for_many() -> Self {
        let set = json!({ "http": { "workers": 2 }, "database": { "pool_per_worker": 8, "acquire_timeout": "20s" } });
        Self::start_with(set).await
    }

    /// Checks every counter against its rows.
    async fn assert_counted(&self) {
        let lists = "\
            SELECT 'platforms' AS key, count(*) AS n FROM platforms WHERE deleted_at IS NULL \
            UNION ALL SELECT 'audit', count(*) FROM audit_log \
            UNION ALL SELECT 'audit:' || platform_id, count(*) FROM audit_log GROUP BY platform_id \
            UNION ALL SELECT 'lifecycle:' || platform_id, count(*) FROM lifecycle_events GROUP BY platform_id \
            UNION ALL SELECT 'entities:' || platform_id, count(*) FROM entities WHERE deleted_at IS NULL GROUP BY platform_id \
            UNION ALL SELECT 'entities:' || platform_id || ':' || type, count(*) FROM entities WHERE deleted_at IS NULL GROUP BY platform_id, type \
            UNION ALL SELECT 'entities_under:' || platform_id || ':' || ancestor, count(*) \
                FROM entities, unnest(path) AS ancestor WHERE deleted_at IS NULL GROUP BY platform_id, ancestor \
            UNION ALL SELECT 'resources_under:' || r.platform_id || ':' || ancestor, count(*) \
                FROM resources r JOIN entities e ON e.id = r.entity_id, unnest(e.path || e.id) AS ancestor \
                WHERE r.deleted_at IS NULL GROUP BY r.platform_id, ancestor \
            UNION ALL SELECT 'resources:' || platform_id, count(*) FROM resources WHERE deleted_at IS NULL GROUP BY platform_id \
            UNION ALL SELECT 'resources:' || platform_id || ':' || entity_id, count(*) FROM resources WHERE deleted_at IS NULL GROUP BY platform_id, entity_id";
        let off = format!(
            "SELECT count(*) FROM (SELECT key, n FROM ({lists}) AS found WHERE n <> 0 EXCEPT ALL \
             SELECT key, sum(n)::bigint FROM counters GROUP BY key HAVING sum(n) <> 0) AS off"
        );
        assert_eq!(self.number(&off).await, 0);
        let over = format!(
            "SELECT count(*) FROM (SELECT key, sum(n)::bigint AS n FROM counters GROUP BY key HAVING sum(n) <> 0 \
             EXCEPT ALL SELECT key, n FROM ({lists}) AS found) AS over"
        );
        assert_eq!(self.number(&over).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_concurrent_creates_gets_the_slug() {
    let world = World::for_many().await;
    let answers = join_all(
        (0..CLIENTS)
            .map(|n| world.post("/api/v1/platforms", json!({ "name": format!("By {n}"), "slug": "shop" }))),
    )
    .await;
    assert_eq!(count_by_status(&answers), expected([(201, "", 1), (409, "ALREADY_EXISTS", CLIENTS - 1)]));
    let conflict = answers.into_iter().find(|answer| answer.status == 409).unwrap();
    assert_eq!(conflict.expect_error(409, "ALREADY_EXISTS")["slug"], "shop");
    let list = world.get("/api/v1/platforms").await.expect(200);
    assert_eq!((ids(&list).len(), &list["pagination"]["total"]), (1, &json!(1)));
    world.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_concurrent_registrations_gets_the_name() {
    let world = World::for_many().await;
    let platforms = join_all((0..8).map(|n| {
        let world = &world;
        async move { world.platform(&format!("p{n}")).await }
    }))
    .await;
    // From several platforms too, because the name is unique across all of them.
    let answers = join_all((0..CLIENTS).map(|n| {
        let platform = &platforms[n % platforms.len()];
        let path = format!("/api/v1/platforms/{platform}/entities/{platform}/resources");
        let world = &world;
        async move { world.post(&path, resource_body("one-name")).await }
    }))
    .await;
    assert_eq!(count_by_status(&answers), expected([(201, "", 1), (409, "ALREADY_EXISTS", CLIENTS - 1)]));
    assert_eq!(world.number("SELECT count(*) FROM resources").await, 1);
    world.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_concurrent_transitions_succeeds() {
    let world = World::for_many().await;
    let platform = world.platform("shop").await;
    for (verb, to) in [("suspend", "suspended"), ("restore", "active"), ("cancel", "pending_cancellation")] {
        let path = format!("/api/v1/platforms/{platform}/{verb}");
        let answers = join_all((0..CLIENTS).map(|_| world.post(&path, json!({})))).await;
        assert_eq!(
            count_by_status(&answers),
            expected([(200, "", 1), (409, "INVALID_TRANSITION", CLIENTS - 1)]),
            "{verb}"
        );
        let conflict = answers.into_iter().find(|answer| answer.status == 409).unwrap();
        assert_eq!(conflict.expect_error(409, "INVALID_TRANSITION")["from"], to);
    }
    let events = world.get(&format!("/api/v1/platforms/{platform}/lifecycle")).await.expect(200);
    let reached: Vec<String> =
        events["data"].as_array().unwrap().iter().map(|one| text(one, "toStatus")).collect();
    assert_eq!(reached, ["pending_cancellation", "active", "suspended", "active"]);
    world.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_verbs_produce_a_consistent_history() {
    let world = World::for_many().await;
    let platform = world.platform("shop").await;
    let verbs = ["suspend", "restore", "cancel", "delete"];
    let answers = join_all((0..CLIENTS).map(|n| {
        let path = format!("/api/v1/platforms/{platform}/{}", verbs[n % verbs.len()]);
        let world = &world;
        async move { world.post(&path, json!({})).await }
    }))
    .await;
    let counts = count_by_status(&answers);
    let known = |(status, code): &(u16, String)| {
        matches!((*status, code.as_str()), (200, "") | (409, "INVALID_TRANSITION") | (404, "NOT_FOUND"))
    };
    assert!(counts.keys().all(known), "{counts:?}");
    // Each event starts at the status where the previous one ended.
    let broken = "SELECT count(*) FROM (SELECT from_status, lag(to_status) OVER (ORDER BY created_at, id) AS last \
                  FROM lifecycle_events) AS history WHERE from_status IS DISTINCT FROM last";
    assert_eq!(world.number(broken).await, 0);
    let won = counts.get(&(200, String::new())).copied().unwrap_or_default() as i64;
    assert_eq!(world.number("SELECT count(*) FROM lifecycle_events").await, won + 1);
    world.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parent_is_deleted_or_gets_children_but_not_both() {
    let world = World::for_many().await;
    let platform = world.platform("shop").await;
    let entities = format!("/api/v1/platforms/{platform}/entities");
    for round in 0..4 {
        let tenant = world.tenant(&platform, &format!("tenant-{round}")).await;
        let parent = world.subtenant(&platform, &format!("parent-{round}"), &tenant).await;
        let own = format!("{entities}/{parent}");
        let answers = join_all((0..CLIENTS).map(|n| {
            let (world, own, entities, parent) = (&world, &own, &entities, &parent);
            async move {
                // One in four deletes it, through either operation.
                match n % 8 {
                    0 => (false, world.delete(own).await),
                    4 => (false, world.patch(own, json!({ "status": "deleted" })).await),
                    _ => {
                        let slug = format!("child-{round}-{n}");
                        let body =
                            json!({ "name": "C", "slug": slug, "type": "subtenant", "parentId": parent });
                        (true, world.post(entities, body).await)
                    }
                }
            }
        }))
        .await;
        let (children, deletions): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(child, _)| *child);
        let children = count_by_status(&children.into_iter().map(|(_, answer)| answer).collect::<Vec<_>>());
        let deletions = count_by_status(&deletions.into_iter().map(|(_, answer)| answer).collect::<Vec<_>>());
        let deleted = deletions.get(&(200, String::new())).copied().unwrap_or_default();
        if deleted == 1 {
            assert_eq!(children, expected([(400, "VALIDATION_ERROR", CLIENTS * 3 / 4)]));
            assert_eq!(deletions.get(&(404, "NOT_FOUND".to_owned())), Some(&(CLIENTS / 4 - 1)));
        } else {
            // The deletion ran before, between or after the creations; later ones got an error.
            assert_eq!(deletions, expected([(409, "HAS_DEPENDENTS", CLIENTS / 4)]));
            assert_eq!(children, expected([(201, "", CLIENTS * 3 / 4)]));
        }
    }
    let orphans = "SELECT count(*) FROM entities child JOIN entities parent ON parent.id = child.parent_id \
                   WHERE child.deleted_at IS NULL AND parent.deleted_at IS NOT NULL";
    assert_eq!(world.number(orphans).await, 0);
    // Every parent is above its child, so the tree has no cycle.
    let circles = "SELECT count(*) FROM entities child JOIN entities parent ON parent.id = child.parent_id \
                   WHERE child.depth <> parent.depth + 1 OR child.path <> parent.path || parent.id OR child.id = ANY (child.path)";
    assert_eq!(world.number(circles).await, 0);
    world.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn platform_being_deleted_gets_no_new_entities() {
    let world = World::for_many().await;
    let platform = world.platform("shop").await;
    let own = format!("/api/v1/platforms/{platform}");
    let answers = join_all((0..CLIENTS).map(|n| {
        let (world, own) = (&world, &own);
        async move {
            if n == CLIENTS / 2 {
                return world.send(Method::DELETE, own, &Value::Null, &[]).await;
            }
            let body = json!({ "name": "T", "slug": format!("t{n}"), "type": "tenant" });
            world.post(&format!("{own}/entities"), body).await
        }
    }))
    .await;
    let counts = count_by_status(&answers);
    assert_eq!(counts.get(&(200, String::new())), Some(&1), "{counts:?}");
    let created = counts.get(&(201, String::new())).copied().unwrap_or_default();
    let rejected = counts.get(&(404, "NOT_FOUND".to_owned())).copied().unwrap_or_default();
    assert_eq!(created + rejected, CLIENTS - 1, "{counts:?}");
    let after = "SELECT count(*) FROM audit_log creation JOIN audit_log deletion ON deletion.action = 'platform.deleted' \
                 WHERE creation.action = 'entity.created' AND creation.created_at > deletion.created_at + interval '1 second'";
    assert_eq!(world.number(after).await, 0);
    assert_eq!(world.number("SELECT count(*) FROM entities").await, created as i64);
    world.assert_counted().await;
}
