//! The tree of tenants.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    operation::{Cases, Operation},
    world::{World, faults, ids, text},
};

/// Test cases of the entity operations.
pub(crate) const CASES: Cases = Cases { created: Vec::new, operations };

fn operations() -> Vec<Operation> {
    let (list, one) = ("/platforms/{platformId}/entities", "/platforms/{platformId}/entities/{entityId}");
    let entity = json!({ "name": "N", "slug": "n", "type": "tenant" });
    vec![
        Operation::get(list, "/platforms/{p}/entities"),
        Operation::get(one, "/platforms/{p}/entities/{e}"),
        Operation::get(&format!("{one}/ancestors"), "/platforms/{p}/entities/{e}/ancestors"),
        Operation::get(&format!("{one}/descendants"), "/platforms/{p}/entities/{e}/descendants"),
        Operation::post(list, "/platforms/{p}/entities", entity),
        Operation::patch(one, "/platforms/{p}/entities/{e}", json!({ "name": "M" })),
        Operation::delete(one, "/platforms/{p}/entities/{leaf}"),
    ]
}

fn entities(platform: &str) -> String {
    format!("/api/v1/platforms/{platform}/entities")
}

#[tokio::test]
async fn entity_is_created_and_read() {
    let world = World::start().await;
    let platform = world.platform("shop").await;
    let tenant = world.tenant(&platform, "acme").await;
    let body = json!({ "name": "West", "slug": "west", "type": "subtenant", "parentId": tenant });
    let created = world.post(&entities(&platform), body).await.expect(201);
    let fields = [
        ("platformId", json!(platform)),
        ("parentId", json!(tenant)),
        ("type", json!("subtenant")),
        ("name", json!("West")),
        ("slug", json!("west")),
        ("status", json!("active")),
        ("deletedAt", Value::Null),
    ];
    for (name, value) in fields {
        assert_eq!(created[name], value, "{name}");
    }
    assert!(created.get("depth").is_none() && created.get("path").is_none());
    let path = format!("{}/{}", entities(&platform), text(&created, "id"));
    let read = world.get(&path).await;
    let etag = read.header("etag").unwrap().to_owned();
    assert_eq!(read.expect(200), created);
    let again = world.send(Method::GET, &path, &Value::Null, &[("If-None-Match", &etag)]).await;
    assert_eq!(again.status, 304);
    let other = world.platform("other").await;
    world.get(&format!("{}/{tenant}", entities(&other))).await.expect_error(404, "NOT_FOUND");
    let body = json!({ "name": "A", "slug": "a", "type": "tenant", "parentId": null });
    world.post(&entities(&platform), body).await.expect(201);
}

#[tokio::test]
async fn invalid_parents_are_rejected() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let (tenant, stranger) = (world.tenant(&platform, "t").await, world.tenant(&other, "t").await);
    let deleted = world.tenant(&platform, "gone").await;
    world.delete(&format!("{}/{deleted}", entities(&platform))).await.expect(200);
    let post = async |kind: &str, parent: Value| {
        let body = json!({ "name": "A", "slug": "a", "type": kind, "parentId": parent });
        faults(world.post(&entities(&platform), body).await)
    };
    for (kind, parent) in [
        ("tenant", json!(tenant)),
        ("subtenant", Value::Null),
        ("subtenant", json!("aaaaaaaaaa")),
        ("subtenant", json!(stranger)),
        ("subtenant", json!(deleted)),
        ("subtenant", json!(platform)),
        ("subtenant", json!("NO")),
    ] {
        assert_eq!(post(kind, parent.clone()).await, ["parentId"], "{kind} {parent}");
    }
    let wrong = json!({ "slug": "NO", "type": "team", "owner": 1 });
    let mut paths = faults(world.post(&entities(&platform), wrong).await);
    paths.sort();
    assert_eq!(paths, ["name", "owner", "slug", "type"]);
    let body = json!({ "name": "A", "slug": "a", "type": "tenant" });
    world.post(&entities("aaaaaaaaaa"), body).await.expect_error(404, "NOT_FOUND");
    assert_eq!(world.number("SELECT count(*) FROM entities").await, 3);
}

#[tokio::test]
async fn tree_has_at_most_sixteen_levels() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let mut line = vec![world.tenant(&platform, "l1").await];
    for level in 2..=16 {
        line.push(world.subtenant(&platform, &format!("l{level}"), line.last().unwrap()).await);
    }
    let too_deep = json!({ "name": "A", "slug": "l17", "type": "subtenant", "parentId": line[15] });
    assert_eq!(faults(world.post(&entities(&platform), too_deep).await), ["parentId"]);

    let branch = async |id: &str, which: &str| {
        ids(&world.get(&format!("{}/{id}/{which}", entities(&platform))).await.expect(200))
    };
    let above: Vec<_> = line[..15].iter().rev().cloned().collect();
    assert_eq!(branch(&line[15], "ancestors").await, above);
    assert_eq!(branch(&line[0], "descendants").await, line[1..]);
    assert!(
        branch(&line[0], "ancestors").await.is_empty() && branch(&line[15], "descendants").await.is_empty()
    );
}

#[tokio::test]
async fn ancestors_and_descendants_contain_only_the_branch() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let (one, two) = (world.tenant(&platform, "one").await, world.tenant(&platform, "two").await);
    let first = world.subtenant(&platform, "first", &one).await;
    let deep = world.subtenant(&platform, "deep", &first).await;
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let second = world.subtenant(&platform, "second", &one).await;
    let deleted = world.subtenant(&platform, "gone", &one).await;
    world.delete(&format!("{}/{deleted}", entities(&platform))).await.expect(200);
    let branch = async |id: &str, which: &str| {
        ids(&world.get(&format!("{}/{id}/{which}", entities(&platform))).await.expect(200))
    };
    assert_eq!(branch(&one, "descendants").await, [first.clone(), second, deep.clone()]);
    assert!(branch(&two, "descendants").await.is_empty());
    assert_eq!(branch(&deep, "ancestors").await, [first, one]);
    for which in ["ancestors", "descendants"] {
        world.get(&format!("{}/{deleted}/{which}", entities(&platform))).await.expect_error(404, "NOT_FOUND");
        world
            .get(&format!("{}/aaaaaaaaaa/{which}", entities(&platform)))
            .await
            .expect_error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn entity_slug_is_unique_in_its_platform_until_deletion() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let first = world.tenant(&platform, "acme").await;
    world.tenant(&other, "acme").await;
    let body = json!({ "name": "A", "slug": "acme", "type": "tenant" });
    world.post(&entities(&platform), body.clone()).await.expect_error(409, "ALREADY_EXISTS");
    world.delete(&format!("{}/{first}", entities(&platform))).await.expect(200);
    let path = entities(&platform);
    let answers = join_all((0..8).map(|_| world.post(&path, body.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 7);
}

#[tokio::test]
async fn entity_lists_filter_by_type_with_exact_totals() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let tenant = world.tenant(&platform, "t").await;
    let mut subs = Vec::new();
    for n in 0..3 {
        subs.push(world.subtenant(&platform, &format!("s{n}"), &tenant).await);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    world.tenant(&other, "t").await;
    world.delete(&format!("{}/{}", entities(&platform), subs[0])).await.expect(200);
    let list = async |query: &str| {
        let page = world.get(&format!("{}{query}", entities(&platform))).await.expect(200);
        (ids(&page), page["pagination"]["total"].as_i64().unwrap())
    };
    assert_eq!(list("").await, (vec![subs[2].clone(), subs[1].clone(), tenant.clone()], 3));
    assert_eq!(list("?type=subtenant&limit=1").await, (vec![subs[2].clone()], 2));
    assert_eq!(list("?type=tenant").await, (vec![tenant], 1));
    assert_eq!(faults(world.get(&format!("{}?type=team", entities(&platform))).await), ["type"]);
    world.get(&entities("aaaaaaaaaa")).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn entity_patch_changes_only_the_named_fields() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let path = format!("{}/{}", entities(&platform), world.tenant(&platform, "t").await);
    let seen = world.get(&path).await.header("etag").unwrap().to_owned();
    let after = world.patch(&path, json!({ "name": "New", "status": "suspended" })).await.expect(200);
    assert_eq!(
        (&after["name"], &after["status"], &after["slug"]),
        (&json!("New"), &json!("suspended"), &json!("t"))
    );
    let stale = world.send(Method::PATCH, &path, &json!({ "name": "B" }), &[("If-Match", &seen)]).await;
    stale.expect_error(412, "PRECONDITION_FAILED");
    for body in [json!({ "slug": "b" }), json!({ "status": "gone" }), json!({ "parentId": null })] {
        world.patch(&path, body).await.expect_error(400, "VALIDATION_ERROR");
    }
    assert_eq!(world.patch(&path, json!({ "status": "deleted" })).await.expect(200)["status"], "deleted");
    world.get(&path).await.expect_error(404, "NOT_FOUND");
    let page = world.get(&entities(&platform)).await.expect(200);
    assert_eq!(page["pagination"]["total"], 0);
}

#[tokio::test]
async fn entity_with_dependents_is_not_deleted() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let child = world.subtenant(&platform, "c", &tenant).await;
    let resource = world.resource(&platform, &tenant, "x").await;
    let path = format!("{}/{tenant}", entities(&platform));
    for _ in 0..2 {
        let details = world.delete(&path).await.expect_error(409, "HAS_DEPENDENTS");
        assert_eq!(
            details["dependents"],
            json!({ "entities": 1, "stacks": 0, "resources": 1, "features": 0 })
        );
    }
    let patched = world.patch(&path, json!({ "status": "deleted" })).await;
    patched.expect_error(409, "HAS_DEPENDENTS");
    world.delete(&format!("{}/{child}", entities(&platform))).await.expect(200);
    world.delete(&format!("/api/v1/platforms/{platform}/resources/{resource}")).await.expect(200);
    assert_eq!(world.delete(&path).await.expect(200), json!({ "success": true }));

    let with_stack = world.tenant(&platform, "s").await;
    world.stack(&platform, &with_stack, "main").await;
    let details = world
        .delete(&format!("{}/{with_stack}", entities(&platform)))
        .await
        .expect_error(409, "HAS_DEPENDENTS");
    assert_eq!(details["dependents"], json!({ "entities": 0, "stacks": 1, "resources": 0, "features": 0 }));
}

#[tokio::test]
async fn concurrent_deletion_leaves_no_orphans() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    for round in 0..12 {
        let tenant = world.tenant(&platform, &format!("t{round}")).await;
        let path = format!("{}/{tenant}", entities(&platform));
        let child =
            json!({ "name": "C", "slug": format!("c{round}"), "type": "subtenant", "parentId": tenant });
        let (entities, resources) = (entities(&platform), format!("{path}/resources"));
        let body = crate::world::resource_body(&format!("r{round}"));
        let (deleted, created, registered) =
            tokio::join!(world.delete(&path), world.post(&entities, child), world.post(&resources, body));
        let added = [created.status, registered.status].iter().filter(|status| **status == 201).count();
        assert!(
            (deleted.status == 200) == (added == 0),
            "{} {} {}",
            deleted.body,
            created.body,
            registered.body
        );
    }
    let orphans = "SELECT count(*) FROM entities c JOIN entities p ON p.id = c.parent_id \
                   WHERE c.deleted_at IS NULL AND p.deleted_at IS NOT NULL";
    assert_eq!(world.number(orphans).await, 0);
}

#[tokio::test]
async fn creation_and_deletion_wait_for_each_other() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let (path, entities) = (format!("/api/v1/platforms/{platform}"), entities(&platform));
    let mut other = world.db.connect().await;
    let run = async |c: &mut AsyncPgConnection, sql: String| c.batch_execute(&sql).await.unwrap();
    let soon = Duration::from_millis(300);

    // While another transaction creates an entity, the deletion of the platform waits.
    let insert = format!(
        "BEGIN; INSERT INTO entities VALUES ('aaaaaaaaaa', '{platform}', NULL, 'tenant', 'A', 'a', 'active', now(), now(), NULL, 1, '{{}}')"
    );
    run(&mut other, insert).await;
    let mut deletion = Box::pin(world.delete(&path));
    assert!(tokio::time::timeout(soon, &mut deletion).await.is_err());
    run(&mut other, "ROLLBACK".to_owned()).await;
    deletion.await.expect(200);

    // While another transaction deletes the platform, the creation of an entity waits and then fails.
    let platform = world.platform("b").await;
    let entities = entities.replace(path.rsplit('/').next().unwrap(), &platform);
    run(&mut other, format!("BEGIN; SELECT FROM platforms WHERE id = '{platform}' FOR UPDATE")).await;
    let body = json!({ "name": "A", "slug": "a", "type": "tenant" });
    let mut creation = Box::pin(world.post(&entities, body));
    assert!(tokio::time::timeout(soon, &mut creation).await.is_err());
    let delete = format!(
        "UPDATE platforms SET status = 'deleted', deleted_at = now() WHERE id = '{platform}'; COMMIT"
    );
    run(&mut other, delete).await;
    creation.await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn descendants_of_several_chunks_are_complete_and_ordered() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    for (level, many) in [(2, 250), (3, 373)] {
        let parent = if level == 2 { tenant.clone() } else { "l2x0000001".to_owned() };
        let path = if level == 2 { format!("'{tenant}'") } else { format!("'{tenant}', '{parent}'") };
        world
            .sql(&format!(
                "INSERT INTO entities SELECT 'l{level}x' || lpad(n::text, 7, '0'), '{platform}', '{parent}', 'subtenant', 'E', \
                     'e-{level}-' || n, 'active', now() + n * interval '1 ms', now(), NULL, {level}, ARRAY[{path}] \
                 FROM generate_series(1, {many}) n"
            ))
            .await;
    }
    let expected: Vec<String> =
        (1..=250).map(|n| format!("l2x{n:07}")).chain((1..=373).map(|n| format!("l3x{n:07}"))).collect();
    let path = format!("/api/v1/platforms/{platform}/entities/{tenant}/descendants");
    for scope in [json!({ "platform": platform }), json!({ "entity": [platform, tenant] })] {
        let found = world.send_as(&scope, Method::GET, &path, &Value::Null).await.expect(200);
        assert_eq!(ids(&found), expected);
    }
}
