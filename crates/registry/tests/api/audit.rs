//! Reads of the audit log.

use domain::id::uuid_v7;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    operation::{Cases, Operation},
    world::{World, faults, text},
};

/// Test cases of the audit operations.
pub(crate) const CASES: Cases = Cases { created: Vec::new, operations };

fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/platforms/{platformId}/audit", "/platforms/{p}/audit"),
        Operation::get("/audit", "/audit").for_operators(),
    ]
}

fn actions(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|entry| text(entry, "action")).collect()
}

#[tokio::test]
async fn audit_log_contains_every_change_with_before_and_after() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let path = format!("/api/v1/platforms/{platform}");
    let headers = [
        ("X-Request-Id", "my-request"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    world.post_with(&format!("{path}/suspend"), json!({}), &headers).await.expect(200);
    let page = world.get(&format!("{path}/audit")).await.expect(200);
    assert_eq!(actions(&page), ["platform.suspended", "platform.created"]);
    assert_eq!(page["pagination"]["total"], 2);
    let (newest, oldest) = (&page["data"][0], &page["data"][1]);
    for (name, value) in [
        ("platformId", json!(platform)),
        ("actorId", json!("operator")),
        ("actorType", json!("operator")),
        ("entityType", json!("platform")),
        ("entityId", json!(platform)),
    ] {
        assert_eq!(newest[name], value, "{name}");
    }
    assert_eq!(
        (&newest["before"]["status"], &newest["after"]["status"]),
        (&json!("active"), &json!("suspended"))
    );
    assert_eq!((&oldest["before"], &oldest["after"]["slug"]), (&Value::Null, &json!("a")));
    assert_eq!(newest["metadata"]["requestId"], "my-request");
    assert_eq!(newest.as_object().unwrap().len(), 11, "{newest}");
}

#[tokio::test]
async fn platform_audit_filters_by_action_and_object() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let tenant = world.tenant(&platform, "t").await;
    let resource = world.resource(&platform, &tenant, "x").await;
    let (stack, dns) = (
        world.stack(&platform, &tenant, "main").await,
        world.dns_record(&platform, "a.example", &resource).await,
    );
    let secret = format!("/api/v1/platforms/{platform}/resources/{resource}/secrets/A");
    world.post(&secret, json!({ "status": "set" })).await.expect(201);
    let build = world.build(&platform, "prod").await;
    world
        .patch(&format!("/api/v1/platforms/{platform}/entities/{tenant}"), json!({ "name": "B" }))
        .await
        .expect(200);
    world.tenant(&other, "t").await;
    let list = async |query: &str| {
        let page = world.get(&format!("/api/v1/platforms/{platform}/audit{query}")).await.expect(200);
        assert!(page["pagination"].get("totalIsEstimate").is_none());
        (actions(&page), page["pagination"]["total"].as_i64().unwrap())
    };
    let expected = |actions: &[&str]| {
        (actions.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>(), actions.len() as i64)
    };
    let all = [
        "entity.updated",
        "build.started",
        "secret.marked",
        "dns_record.created",
        "stack.created",
        "resource.registered",
        "entity.created",
        "platform.created",
    ];
    assert_eq!(list("").await, expected(&all));
    assert_eq!(list("?action=entity.created").await, expected(&["entity.created"]));
    assert_eq!(list("?action=entity.gone").await, expected(&[]));
    assert_eq!(list("?entity=entity").await, expected(&["entity.updated", "entity.created"]));
    assert_eq!(list(&format!("?entity={tenant}&action=entity.updated")).await, expected(&["entity.updated"]));
    for (id, kind, action) in [
        (&resource, "resource", "resource.registered"),
        (&stack, "stack", "stack.created"),
        (&dns, "dns_record", "dns_record.created"),
        (&build, "build", "build.started"),
    ] {
        assert_eq!(list(&format!("?entity={id}")).await, expected(&[action]));
        assert_eq!(list(&format!("?entity={kind}")).await, expected(&[action]));
    }
    assert_eq!(list("?entity=secret").await, expected(&["secret.marked"]));
    for (query, parameter) in
        [("action=x", "action"), ("action=A.B", "action"), ("entity=x", "entity"), ("entity=", "entity")]
    {
        let answer = world.get(&format!("/api/v1/platforms/{platform}/audit?{query}")).await;
        assert_eq!(faults(answer), [parameter], "{query}");
    }
    world.get("/api/v1/platforms/aaaaaaaaaa/audit").await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn audit_filters_by_platform_actor_action_and_time() {
    let world = World::start().await;
    let (one, two) = (world.platform("a").await, world.platform("b").await);
    world.build(&one, "prod").await;
    world.sql("UPDATE platforms SET status = 'active'").await;
    let list = async |query: &str| {
        let page = world.get(&format!("/api/v1/audit{query}")).await.expect(200);
        (actions(&page), page["pagination"]["total"].as_i64().unwrap())
    };
    let expected = |actions: &[&str]| {
        (actions.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>(), actions.len() as i64)
    };
    assert_eq!(list("").await, expected(&["build.started", "platform.created", "platform.created"]));
    assert_eq!(list(&format!("?platformId={two}")).await, expected(&["platform.created"]));
    assert_eq!(list("?actorId=service:onboarding").await, expected(&["build.started"]));
    assert_eq!(
        list("?eventType=platform.created&actorId=operator").await,
        expected(&["platform.created", "platform.created"])
    );
    assert_eq!(list("?platformId=aaaaaaaaaa").await, expected(&[]));

    let page = world.get("/api/v1/audit").await.expect(200);
    let newest = text(&page["data"][0], "createdAt");
    let millis = world.number("SELECT extract(epoch FROM max(created_at)) * 1000 FROM audit_log").await;
    for (from, to) in [
        (newest.clone(), "2100-01-01T00:00:00%2B02:00".to_owned()),
        (millis.to_string(), (millis + 1).to_string()),
    ] {
        assert_eq!(
            list(&format!("?from={from}&to={to}&eventType=build.started")).await,
            expected(&["build.started"])
        );
        assert_eq!(list(&format!("?to={from}&eventType=build.started")).await, expected(&[]));
    }
    for (query, parameter) in [
        ("platformId=NO", "platformId"),
        ("actorId=", "actorId"),
        ("eventType=x", "eventType"),
        ("from=yesterday", "from"),
        ("from=-1", "from"),
        ("to=99999999999999999", "to"),
        ("from=2&to=1", "to"),
        ("limit=0", "limit"),
    ] {
        assert_eq!(faults(world.get(&format!("/api/v1/audit?{query}")).await), [parameter], "{query}");
    }
    let own = world.send_as(&json!({ "platform": one }), Method::GET, "/api/v1/audit", &Value::Null).await;
    own.expect_error(403, "FORBIDDEN");
}

#[tokio::test]
async fn cursor_of_a_different_filter_is_rejected() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    for n in 0..3 {
        world.tenant(&platform, &format!("t{n}")).await;
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            world.get(&format!("/api/v1/audit?eventType=entity.created&limit=2{cursor}")).await.expect(200);
        assert_eq!(page["pagination"]["total"], 3);
        found.extend(crate::world::ids(&page));
        if page["pagination"]["hasMore"] == false {
            break;
        }
        cursor = format!("&cursor={}", page["pagination"]["nextCursor"].as_str().unwrap());
    }
    assert_eq!(found.len(), 3);
    let other = world.get(&format!("/api/v1/audit?eventType=platform.created{cursor}")).await;
    other.expect_error(400, "INVALID_CURSOR");
}

#[tokio::test]
async fn filtered_total_beyond_ten_thousand_is_an_estimate() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let insert = |from: i32, to: i32| {
        format!(
            "INSERT INTO audit_log SELECT gen_random_uuid(), '{platform}', 'user:ada', 'user', 'object.done', 'object', n::text, NULL, NULL, '{{}}', now() \
             FROM generate_series({from}, {to}) n"
        )
    };
    world.sql(&insert(1, 10_000)).await;
    let page = async |query: &str| {
        world.get(&format!("/api/v1/audit?limit=1{query}")).await.expect(200)["pagination"].clone()
    };
    let exact = page("&actorId=user:ada").await;
    assert_eq!((&exact["total"], exact.get("totalIsEstimate")), (&json!(10_000), None));
    world.sql(&insert(10_001, 30_000)).await;
    diesel_async::RunQueryDsl::execute(
        diesel::sql_query("ANALYZE audit_log"),
        &mut world.db.connect_as_owner().await,
    )
    .await
    .unwrap();
    let estimate = page("&actorId=user:ada").await;
    assert_eq!(estimate["totalIsEstimate"], true);
    let total = estimate["total"].as_i64().unwrap();
    assert!((25_000..35_000).contains(&total), "{total}");
    let one = page(&format!("&platformId={platform}&eventType=platform.created")).await;
    assert_eq!((&one["total"], one.get("totalIsEstimate")), (&json!(1), None));
}

#[tokio::test]
async fn serving_role_cannot_change_audit_entries() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let mut connection = world.db.connect().await;
    for sql in [
        "UPDATE audit_log SET actor_id = 'x'".to_owned(),
        "DELETE FROM audit_log".to_owned(),
        "TRUNCATE audit_log".to_owned(),
        format!("DELETE FROM audit_log WHERE id = '{}'", uuid_v7()),
    ] {
        let error =
            diesel_async::RunQueryDsl::execute(diesel::sql_query(&sql), &mut connection).await.unwrap_err();
        assert!(error.to_string().contains("permission denied"), "{sql}: {error}");
    }
    let page = world.get(&format!("/api/v1/platforms/{platform}/audit")).await.expect(200);
    assert_eq!(page["pagination"]["total"], 1);
}
