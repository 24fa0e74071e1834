//! Workspace stacks.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    templates::{Answers, Templates},
    world::{World, faults, ids, text},
};

fn stacks(platform: &str) -> String {
    format!("/api/v1/platforms/{platform}/stacks")
}

#[tokio::test]
async fn a_custom_one_is_active_at_once() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let body = json!({ "tenantId": tenant, "name": "main", "repoName": "r" });
    let made = world.post(&stacks(&platform), body).await.expect(201);
    let fields: Vec<&String> = made.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["createdAt", "id", "isDefault", "name", "status"]);
    assert_eq!((&made["status"], &made["isDefault"]), (&json!("active"), &json!(false)));
    let read = world.get(&format!("{}/{}", stacks(&platform), text(&made, "id"))).await;
    assert!(read.header("etag").is_some());
    let read = read.expect(200);
    let fields = [
        ("id", made["id"].clone()),
        ("tenantId", json!(tenant)),
        ("platformId", json!(platform)),
        ("name", json!("main")),
        ("templateId", Value::Null),
        ("repoName", json!("r")),
        ("createdAt", made["createdAt"].clone()),
    ];
    for (name, value) in fields {
        assert_eq!(read[name], value, "{name}");
    }
    assert_eq!(read.as_object().unwrap().len(), 10, "{read}");
    let other = world.platform("b").await;
    for id in [text(&made, "id").as_str(), "aaaaaaaaaa", "NO", "default"] {
        world.get(&format!("{}/{id}", stacks(&other))).await.expect_error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn names_and_defaults_are_the_tenant_s() {
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
async fn what_is_refused() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let stranger = world.tenant(&other, "t").await;
    for tenant in ["aaaaaaaaaa", &stranger, &platform, "NO"] {
        let body = json!({ "tenantId": tenant, "name": "main" });
        assert_eq!(faults(world.post(&stacks(&platform), body).await), ["tenantId"]);
    }
    let mut told =
        faults(world.post(&stacks(&platform), json!({ "name": "", "isDefault": 1, "x": 1 })).await);
    told.sort();
    assert_eq!(told, ["isDefault", "name", "tenantId", "x"]);
    let body = json!({ "tenantId": stranger, "name": "main" });
    world.post(&stacks("aaaaaaaaaa"), body).await.expect_error(404, "NOT_FOUND");
    assert_eq!(world.number("SELECT count(*) FROM stacks").await, 0);
}

#[tokio::test]
async fn the_list_has_its_own_envelope() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let (one, two) = (world.tenant(&platform, "one").await, world.tenant(&platform, "two").await);
    let mut made = Vec::new();
    for (tenant, name) in [(&one, "a"), (&two, "b"), (&one, "c")] {
        made.push(world.stack(&platform, tenant, name).await);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let list = async |query: &str| world.get(&format!("{}{query}", stacks(&platform))).await.expect(200);
    let all = list("").await;
    assert_eq!(all.as_object().unwrap().len(), 2);
    assert_eq!(
        (ids(&all), &all["cursor"]),
        (vec![made[2].clone(), made[1].clone(), made[0].clone()], &Value::Null)
    );
    let first = list("?limit=2").await;
    let rest = list(&format!("?limit=2&cursor={}", text(&first, "cursor"))).await;
    assert_eq!((ids(&rest), &rest["cursor"]), (vec![made[0].clone()], &Value::Null));
    let of_one = list(&format!("?tenantId={one}&limit=1")).await;
    assert_eq!(ids(&of_one), [made[2].clone()]);
    let rest = list(&format!("?tenantId={one}&cursor={}", text(&of_one, "cursor"))).await;
    assert_eq!(ids(&rest), [made[0].clone()]);
    let wrong =
        world.get(&format!("{}?tenantId={two}&cursor={}", stacks(&platform), text(&of_one, "cursor"))).await;
    wrong.expect_error(400, "INVALID_CURSOR");
    assert_eq!(faults(world.get(&format!("{}?tenantId=NO", stacks(&platform))).await), ["tenantId"]);
    world.get(&stacks("aaaaaaaaaa")).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn one_of_a_template_pins_its_newest_version_and_waits() {
    let templates = Templates::start(Answers::Shop("active", Some("1.2.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    for (name, template) in [("by-name", "shop"), ("by-id", "t-1")] {
        let body = json!({ "tenantId": tenant, "name": name, "templateId": template });
        let made = world.post(&stacks(&platform), body).await.expect(201);
        assert_eq!(made["status"], "pending");
        let read = world.get(&format!("{}/{}", stacks(&platform), text(&made, "id"))).await.expect(200);
        assert_eq!(read["templateId"], "t-1");
    }
    let pinned = "SELECT count(*) FROM stacks WHERE template_name = 'shop' AND template_version = '1.2.0'";
    assert_eq!(world.number(pinned).await, 2);
}

#[tokio::test]
async fn without_its_template_nothing_is_written() {
    let templates = Templates::start(Answers::Unknown).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let writes = world.writes().await;
    let post = async || {
        let body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
        world.post(&stacks(&platform), body).await
    };
    for answers in
        [Answers::Unknown, Answers::Shop("deprecated", Some("1.0.0")), Answers::Shop("active", None)]
    {
        templates.now(answers);
        assert_eq!(post().await.expect_error(400, "TEMPLATE_UNAVAILABLE")["template"], "shop", "{answers:?}");
    }
    for answers in [Answers::Failure, Answers::Nothing] {
        templates.now(answers);
        post().await.expect_error(503, "SERVICE_UNAVAILABLE");
    }
    assert_eq!((world.writes().await, world.number("SELECT count(*) FROM stacks").await), (writes, 0));
    templates.now(Answers::Shop("active", Some("1.0.0")));
    post().await.expect(201);
}

#[tokio::test]
async fn a_stack_registry_that_is_away_holds_up_only_what_needs_it() {
    let world =
        World::start_with(json!({ "service": { "stack_registry": { "url": "http://127.0.0.1:1" } } })).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
    world.post(&stacks(&platform), body).await.expect_error(503, "SERVICE_UNAVAILABLE");
    world.stack(&platform, &tenant, "custom").await;
}

#[tokio::test]
async fn a_repetition_does_not_ask_for_the_template_again() {
    let templates = Templates::start(Answers::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
    let key = [("Idempotency-Key", "k")];
    let first = world.post_with(&stacks(&platform), body.clone(), &key).await.expect(201);
    templates.now(Answers::Failure);
    let again = world.post_with(&stacks(&platform), body, &key).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((again.expect(201), templates.asked()), (first, 1));
}
