//! Workspace stacks.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    feature::Feature,
    operation::{Cases, Operation},
    stack::{Stack, shows},
    templates::{Behavior, Templates, definition},
    world::{World, faults, ids, text},
};

/// Test cases of the stack operations.
pub(crate) const CASES: Cases = Cases { created: Vec::new, operations };

fn operations() -> Vec<Operation> {
    let (list, one) = ("/platforms/{platformId}/stacks", "/platforms/{platformId}/stacks/{stackId}");
    let second = json!({ "version": "2.0.0" });
    vec![
        Operation::get(list, "/platforms/{p}/stacks"),
        Operation::get(one, "/platforms/{p}/stacks/{s}"),
        Operation::get(&format!("{one}/explain"), "/platforms/{p}/stacks/{s}/explain"),
        Operation::post(list, "/platforms/{p}/stacks", json!({ "tenantId": "{e}", "name": "n" })),
        Operation::post(&format!("{one}/upgrade"), "/platforms/{p}/stacks/{up}/upgrade", second),
        Operation::post(&format!("{one}/rollback"), "/platforms/{p}/stacks/{back}/rollback", json!({})),
        Operation::delete(one, "/platforms/{p}/stacks/{gone}"),
    ]
}

fn stacks(platform: &str) -> String {
    format!("/api/v1/platforms/{platform}/stacks")
}

#[tokio::test]
async fn custom_stack_is_active_at_once() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let body = json!({ "tenantId": tenant, "name": "main", "repoName": "r" });
    let created = world.post(&stacks(&platform), body).await.expect(201);
    let fields: Vec<&String> = created.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["createdAt", "id", "isDefault", "name", "status"]);
    assert_eq!((&created["status"], &created["isDefault"]), (&json!("active"), &json!(false)));
    let read = world.get(&format!("{}/{}", stacks(&platform), text(&created, "id"))).await;
    assert!(read.header("etag").is_some());
    let read = read.expect(200);
    let fields = [
        ("id", created["id"].clone()),
        ("tenantId", json!(tenant)),
        ("platformId", json!(platform)),
        ("name", json!("main")),
        ("templateId", Value::Null),
        ("templateVersion", Value::Null),
        ("inputs", Value::Null),
        ("error", Value::Null),
        ("provisionJobId", Value::Null),
        ("repoName", json!("r")),
        ("createdAt", created["createdAt"].clone()),
    ];
    for (name, value) in fields {
        assert_eq!(read[name], value, "{name}");
    }
    assert_eq!(read.as_object().unwrap().len(), 14, "{read}");
    let other = world.platform("b").await;
    for id in [text(&created, "id").as_str(), "aaaaaaaaaa", "NO", "default"] {
        world.get(&format!("{}/{id}", stacks(&other))).await.expect_error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn stack_names_and_default_are_unique_per_tenant() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let (one, two) = (world.tenant(&platform, "one").await, world.tenant(&platform, "two").await);
    let post = |tenant: &str, name: &str, default: bool| {
        let body = json!({ "tenantId": tenant, "name": name, "isDefault": default });
        let (world, path) = (&world, stacks(&platform));
        async move { world.post(&path, body).await }
    };
    post(&one, "main", true).await.expect(201);
    post(&two, "main", true).await.expect(201);
    assert_eq!(post(&one, "main", false).await.expect_error(409, "ALREADY_EXISTS")["name"], "main");
    assert_eq!(post(&one, "second", true).await.expect_error(409, "ALREADY_EXISTS")["isDefault"], true);
    let three = world.tenant(&platform, "three").await;
    let answers = join_all((0..8).map(|n| post(&three, if n % 2 == 0 { "even" } else { "odd" }, true))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
}

#[tokio::test]
async fn invalid_stacks_are_rejected() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let stranger = world.tenant(&other, "t").await;
    for tenant in ["aaaaaaaaaa", &stranger, &platform, "NO"] {
        let body = json!({ "tenantId": tenant, "name": "main" });
        assert_eq!(faults(world.post(&stacks(&platform), body).await), ["tenantId"]);
    }
    let mut paths =
        faults(world.post(&stacks(&platform), json!({ "name": "", "isDefault": 1, "x": 1 })).await);
    paths.sort();
    assert_eq!(paths, ["isDefault", "name", "tenantId", "x"]);
    let body = json!({ "tenantId": stranger, "name": "main" });
    world.post(&stacks("aaaaaaaaaa"), body).await.expect_error(404, "NOT_FOUND");
    assert_eq!(world.number("SELECT count(*) FROM stacks").await, 0);
}

#[tokio::test]
async fn stack_list_uses_the_envelope_of_the_contract() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let (one, two) = (world.tenant(&platform, "one").await, world.tenant(&platform, "two").await);
    let mut created = Vec::new();
    for (tenant, name) in [(&one, "a"), (&two, "b"), (&one, "c")] {
        created.push(world.stack(&platform, tenant, name).await);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let list = async |query: &str| world.get(&format!("{}{query}", stacks(&platform))).await.expect(200);
    let all = list("").await;
    assert_eq!(all.as_object().unwrap().len(), 2);
    assert_eq!(
        (ids(&all), &all["cursor"]),
        (vec![created[2].clone(), created[1].clone(), created[0].clone()], &Value::Null)
    );
    let first = list("?limit=2").await;
    let rest = list(&format!("?limit=2&cursor={}", text(&first, "cursor"))).await;
    assert_eq!((ids(&rest), &rest["cursor"]), (vec![created[0].clone()], &Value::Null));
    let of_one = list(&format!("?tenantId={one}&limit=1")).await;
    assert_eq!(ids(&of_one), [created[2].clone()]);
    let rest = list(&format!("?tenantId={one}&cursor={}", text(&of_one, "cursor"))).await;
    assert_eq!(ids(&rest), [created[0].clone()]);
    let wrong =
        world.get(&format!("{}?tenantId={two}&cursor={}", stacks(&platform), text(&of_one, "cursor"))).await;
    wrong.expect_error(400, "INVALID_CURSOR");
    assert_eq!(faults(world.get(&format!("{}?tenantId=NO", stacks(&platform))).await), ["tenantId"]);
    world.get(&stacks("aaaaaaaaaa")).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn stack_of_a_template_pins_the_newest_version() {
    let templates = Templates::start(Behavior::Shop("active", Some("1.2.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    for (name, template) in [("by-name", "shop"), ("by-id", "t-1")] {
        let body = json!({ "tenantId": tenant, "name": name, "templateId": template });
        let created = world.post(&stacks(&platform), body).await.expect(201);
        assert_eq!(created["status"], "pending");
        let read = world.get(&format!("{}/{}", stacks(&platform), text(&created, "id"))).await.expect(200);
        assert_eq!(read["templateId"], "t-1");
    }
    let pinned = "SELECT count(*) FROM stacks WHERE template_name = 'shop' AND template_version = '1.2.0'";
    assert_eq!(world.number(pinned).await, 2);
}

#[tokio::test]
async fn unavailable_template_writes_nothing() {
    let templates = Templates::start(Behavior::Unknown).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let writes = world.writes().await;
    let post = async || {
        let body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
        world.post(&stacks(&platform), body).await
    };
    for behavior in
        [Behavior::Unknown, Behavior::Shop("deprecated", Some("1.0.0")), Behavior::Shop("active", None)]
    {
        templates.set_behavior(behavior);
        assert_eq!(
            post().await.expect_error(400, "TEMPLATE_UNAVAILABLE")["template"],
            "shop",
            "{behavior:?}"
        );
    }
    for behavior in [Behavior::Failure, Behavior::Nothing] {
        templates.set_behavior(behavior);
        post().await.expect_error(503, "SERVICE_UNAVAILABLE");
    }
    assert_eq!((world.writes().await, world.number("SELECT count(*) FROM stacks").await), (writes, 0));
    templates.set_behavior(Behavior::Shop("active", Some("1.0.0")));
    post().await.expect(201);
}

#[tokio::test]
async fn stack_registry_outage_blocks_only_unseen_versions() {
    let templates = Templates::start(Behavior::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let stack = Stack::active(&world, &platform, "t").await;
    stack.upgrade(&world, "2.0.0").await.expect(202);
    stack.complete(&world).await;
    // Down, and slow.
    for behavior in [Behavior::Failure, Behavior::Nothing] {
        templates.set_behavior(behavior);
        let began = std::time::Instant::now();
        stack.upgrade(&world, "1.0.0").await.expect(202);
        stack.complete(&world).await;
        stack.upgrade(&world, "2.0.0").await.expect(202);
        stack.complete(&world).await;
        stack.upgrade(&world, "3.0.0").await.expect_error(503, "SERVICE_UNAVAILABLE");
        assert!(began.elapsed() < std::time::Duration::from_secs(12), "the request does not wait for long");
        assert_eq!(stack.get(&world).await["templateVersion"], "2.0.0");
    }
    let body = json!({ "tenantId": stack.tenant, "name": "main", "templateId": "shop" });
    world.post(&stacks(&platform), body).await.expect_error(503, "SERVICE_UNAVAILABLE");
    world.stack(&platform, &stack.tenant, "custom").await;
    templates.set_behavior(Behavior::Shop("active", Some("1.0.0")));
    stack.upgrade(&world, "3.0.0").await.expect(202);
}

#[tokio::test]
async fn invalid_answers_of_the_stack_registry_are_rejected() {
    let templates = Templates::start(Behavior::InvalidDefinition("1.0.0")).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
    let writes = world.writes().await;
    for behavior in
        [Behavior::InvalidDefinition("1.0.0"), Behavior::InvalidDefinition("new"), Behavior::Other]
    {
        templates.set_behavior(behavior);
        world.post(&stacks(&platform), body.clone()).await.expect_error(502, "UPSTREAM_ERROR");
    }
    assert_eq!(world.writes().await, writes);
    templates.set_behavior(Behavior::Shop("active", Some("1.0.0")));
    let stack = Stack::create(&world, &platform, &tenant, "main").await;
    stack.complete(&world).await;
    let writes = world.writes().await;
    for behavior in [Behavior::InvalidDefinition("2.0.0"), Behavior::Other] {
        templates.set_behavior(behavior);
        stack.upgrade(&world, "2.0.0").await.expect_error(502, "UPSTREAM_ERROR");
    }
    assert_eq!(world.writes().await, writes);
    // A version never changes, so the stored copy stays.
    templates.set_behavior(Behavior::InvalidDefinition("1.0.0"));
    let again = Stack::new(&world, &platform, "u").await;
    again.complete(&world).await;
    assert_eq!(again.manifest(&world).await, shows(&[("cart", "1.0.0")]));
}

#[tokio::test]
async fn repeated_request_does_not_fetch_the_template_again() {
    let templates = Templates::start(Behavior::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
    let key = [("Idempotency-Key", "k")];
    let first = world.post_with(&stacks(&platform), body.clone(), &key).await.expect(201);
    templates.set_behavior(Behavior::Failure);
    let again = world.post_with(&stacks(&platform), body, &key).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((again.expect(201), templates.calls()), (first, 1));
}

#[tokio::test]
async fn inputs_must_match_the_version() {
    let templates = Templates::start(Behavior::Shop("active", Some("2.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let post = async |more: Value| {
        let mut body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
        runtime::config::merge(&mut body, more);
        world.post(&stacks(&platform), body).await
    };
    let mut paths = faults(post(json!({ "inputs": { "region": "mars", "colour": "red" } })).await);
    paths.sort();
    assert_eq!(paths, ["inputs/colour", "inputs/region"]);
    assert_eq!(faults(post(json!({ "inputs": 1 })).await), ["inputs"]);
    let custom = json!({ "tenantId": tenant, "name": "custom", "inputs": {} });
    assert_eq!(faults(world.post(&stacks(&platform), custom).await), ["inputs"]);
    let created = post(json!({ "inputs": { "region": "eu" } })).await.expect(201);
    let stack = Stack { platform: platform.clone(), tenant: tenant.clone(), id: text(&created, "id") };
    stack.complete(&world).await;
    assert_eq!(stack.get(&world).await["inputs"], json!({ "region": "eu" }));

    // Absent inputs keep their values, as far as the version declares them.
    assert_eq!(faults(stack.upgrade(&world, "1.0.0").await), ["inputs/region"]);
    let body = json!({ "version": "1.0.0", "inputs": {} });
    world.post(&stack.path("/upgrade"), body).await.expect(202);
    assert_eq!(stack.get(&world).await["inputs"], json!({ "region": "eu" }), "until it runs");
    stack.complete(&world).await;
    assert_eq!(stack.get(&world).await["inputs"], json!({}));
    stack.rollback(&world).await.expect(202);
    stack.complete(&world).await;
    assert_eq!(stack.get(&world).await["inputs"], json!({ "region": "eu" }));
}

#[tokio::test]
async fn dependencies_must_be_running() {
    let templates = Templates::start(Behavior::Shop("active", Some("4.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
    let missing = json!([{ "template": "pay", "versionRange": "^1.2" }]);
    let refused =
        async || world.post(&stacks(&platform), body.clone()).await.expect_error(422, "UNPROCESSABLE");
    assert_eq!(refused().await["missing"], missing);
    let pay = world.stack(&platform, &tenant, "pay").await;
    let of_pay = async |version: &str| {
        let sql = format!(
            "UPDATE stacks SET template_id = 't-2', template_name = 'pay', template_version = '{version}' WHERE id = '{pay}'"
        );
        world.sql(&sql).await;
    };
    of_pay("1.1.9").await;
    assert_eq!(refused().await["missing"], missing);
    of_pay("1.2.0").await;
    let stack = Stack::create(&world, &platform, &tenant, "main").await;
    of_pay("1.1.9").await;
    stack.complete(&world).await;
    let details = stack.upgrade(&world, "4.0.1").await.expect_error(422, "UNPROCESSABLE");
    assert_eq!(details["missing"], missing);
}

#[tokio::test]
async fn stack_with_dependents_cannot_be_removed() {
    let templates = Templates::start(Behavior::Shop("active", Some("4.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    // Two stacks of the dependency, as if created from a template.
    let mut pays = Vec::new();
    for name in ["pay", "also"] {
        let pay = world.stack(&platform, &tenant, name).await;
        let sql = format!(
            "UPDATE stacks SET template_id = 't-2', template_name = 'pay', template_version = '1.2.0' WHERE id = '{pay}'"
        );
        world.sql(&sql).await;
        pays.push(format!("{}/{pay}", stacks(&platform)));
    }
    world
        .sql("INSERT INTO template_versions SELECT 'pay', '1.2.0', 't-2', definition FROM (VALUES ( \
              '{\"schemaVersion\":1,\"displayName\":\"Pay\",\"features\":[],\"resources\":{\"d1\":false,\"r2\":false,\"kv\":false,\"queue\":false}}' \
              )) AS pay (definition)")
        .await;
    let shop = Stack::create(&world, &platform, &tenant, "main").await;
    world.delete(&pays[0]).await.expect(202);
    // Also while the shop is still being provisioned, and in a dry run of the deletion.
    for path in [pays[1].clone(), format!("{}?dryRun=true", pays[1])] {
        let details = world.delete(&path).await.expect_error(409, "HAS_DEPENDENTS");
        assert_eq!(details["dependents"], json!({ "stacks": 1 }));
        assert_eq!(details["stacks"], json!([{ "id": shop.id, "name": "main" }]));
    }
    shop.complete(&world).await;
    world.delete(&pays[1]).await.expect_error(409, "HAS_DEPENDENTS");
    world.delete(&shop.path("")).await.expect(202);
    world.delete(&pays[1]).await.expect(202);
}

#[tokio::test]
async fn features_must_have_valid_service_names() {
    let templates = Templates::start(Behavior::Shop("active", Some("5.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    // Stored before the registry rejected such versions.
    let insert =
        format!("INSERT INTO template_versions VALUES ('shop', '5.0.0', 't-1', '{}')", definition("5.0.0"));
    world.sql(&insert).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
    let details = world.post(&stacks(&platform), body).await.expect_error(422, "UNPROCESSABLE");
    assert_eq!(details["features"].as_array().unwrap().len(), 1, "{details:?}");
    assert_eq!(details["features"][0]["feature"], "shared");
}

#[tokio::test]
async fn outdated_plan_is_rejected() {
    let templates = Templates::start(Behavior::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let stack = Stack::active(&world, &platform, "t").await;
    let plan = async || {
        let answer = world.post(&stack.path("/upgrade?dryRun=true"), json!({ "version": "2.0.0" })).await;
        assert_eq!(answer.header("dry-run"), Some("true"));
        text(&answer.expect(202), "planHash")
    };
    let old = plan().await;
    assert_eq!((plan().await, stack.get(&world).await["status"].clone()), (old.clone(), json!("active")));
    // A change that the plan does not contain.
    let theme = Feature::new(&platform, &stack.tenant, "theme", "prod");
    let job = theme.activate(&world, "1.0.0").await;
    theme.complete(&world, &job, "1.0.0").await;
    let apply = async |hash: &str| {
        world.post(&stack.path("/upgrade"), json!({ "version": "2.0.0", "planHash": hash })).await
    };
    let details = apply(&old).await.expect_error(412, "PRECONDITION_FAILED");
    let new = plan().await;
    assert_eq!(
        (&details["planHash"], details["plan"]["changed"].as_array().unwrap().len()),
        (&json!(new), 2)
    );
    assert_eq!(apply(&new).await.expect(202)["planHash"], new);
    stack.complete(&world).await;

    let back = world.post(&stack.path("/rollback?dryRun=true"), json!({})).await.expect(202);
    let body = json!({ "planHash": old });
    world.post(&stack.path("/rollback"), body).await.expect_error(412, "PRECONDITION_FAILED");
    world.post(&stack.path("/rollback"), json!({ "planHash": back["planHash"] })).await.expect(202);
}

#[tokio::test]
async fn invalid_stack_changes_are_rejected() {
    let templates = Templates::start(Behavior::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let stack = Stack::new(&world, &platform, "t").await;
    let details = stack.upgrade(&world, "2.0.0").await.expect_error(409, "INVALID_TRANSITION");
    assert_eq!((&details["from"], &details["event"]), (&json!("pending"), &json!("upgrade")));
    stack.rollback(&world).await.expect_error(409, "INVALID_TRANSITION");
    stack.complete(&world).await;
    for version in ["9.0.0", "8.0.0"] {
        let details = stack.upgrade(&world, version).await.expect_error(400, "TEMPLATE_UNAVAILABLE");
        assert_eq!(details["template"], format!("shop {version}"));
    }
    let body = json!({ "version": "2", "inputs": [], "x": 1 });
    let mut paths = faults(world.post(&stack.path("/upgrade"), body).await);
    paths.sort();
    assert_eq!(paths, ["inputs", "version", "x"]);
    assert_eq!(faults(world.post(&stack.path("/upgrade"), json!({})).await), ["version"]);
    assert_eq!(faults(world.post(&stack.path("/rollback"), json!({ "x": 1 })).await), ["x"]);
    let custom = Stack { id: world.stack(&platform, &stack.tenant, "c").await, ..stack.clone() };
    custom.upgrade(&world, "2.0.0").await.expect_error(422, "UNPROCESSABLE");
    custom.rollback(&world).await.expect_error(422, "UNPROCESSABLE");
    let stale = [("If-Match", "\"stale\"")];
    let body = json!({ "version": "2.0.0" });
    world.post_with(&stack.path("/upgrade"), body, &stale).await.expect_error(412, "PRECONDITION_FAILED");
    world
        .post_with(&stack.path("/rollback"), json!({}), &stale)
        .await
        .expect_error(412, "PRECONDITION_FAILED");
    let other = Stack { platform: world.platform("b").await, ..stack.clone() };
    other.upgrade(&world, "2.0.0").await.expect_error(404, "NOT_FOUND");
    other.rollback(&world).await.expect_error(404, "NOT_FOUND");
    world.delete(&other.path("")).await.expect_error(404, "NOT_FOUND");
    assert_eq!(stack.get(&world).await["status"], "active");
}
