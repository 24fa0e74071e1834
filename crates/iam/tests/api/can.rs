//! Who the caller is, and what they may do.

use api_documents::all_operations;
use domain::{GrantScope, Role, access::About};
use identity::Caller;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Response;

use crate::world::{World, alone, grant, person, send_as};

const CAN: &str = "/api/v1/iam/can";

async fn can(world: &World, caller: &Caller, checks: Value) -> Response {
    world.send_as(caller, Method::POST, CAN, &json!({ "checks": checks })).await
}

#[tokio::test]
async fn a_caller_is_told_who_they_are() {
    let world = World::start().await;
    let caller =
        person(vec![grant(Role::Viewer, &world.all_of_own()), grant(Role::Developer, &world.of_tenant())]);
    let told = world.send_as(&caller, Method::GET, "/api/v1/iam/whoami", &Value::Null).await.expect(200);
    let expected = json!({
        "id": "user:someone", "actorType": "user",
        "grants": [
            { "role": "viewer", "platformId": world.own, "entityId": null },
            { "role": "developer", "platformId": world.own, "entityId": world.tenant },
        ],
    });
    assert_eq!(told, expected);
    let operator = world.get("/api/v1/iam/whoami").await.expect(200);
    let everything = json!([{ "role": "operator", "platformId": null, "entityId": null }]);
    assert_eq!(
        (&operator["id"], &operator["actorType"], &operator["grants"]),
        (&json!("operator"), &json!("operator"), &everything)
    );
}

#[tokio::test]
async fn the_answers_are_those_of_the_table() {
    let world = World::start().await;
    let (own, tenant) = (json!(world.own), json!(world.tenant));
    for (held, reach) in [
        (Role::Viewer, world.all_of_own()),
        (Role::Developer, world.of_tenant()),
        (Role::PlatformAdmin, world.all_of_own()),
        (Role::Operator, GrantScope::All),
    ] {
        let caller = person(vec![grant(held, &reach)]);
        for some in all_operations().unwrap().chunks(100) {
            let checks: Vec<Value> = some
                .iter()
                .map(|one| match one.about {
                    About::Caller | About::Everything => json!({ "action": one.id }),
                    About::Platform => json!({ "action": one.id, "platformId": own }),
                    About::Entity => json!({ "action": one.id, "platformId": own, "entityId": tenant }),
                })
                .collect();
            let told = can(&world, &caller, json!(checks)).await.expect(200);
            for (operation, result) in some.iter().zip(told["results"].as_array().unwrap()) {
                let high_enough = held >= operation.least;
                let expected = match operation.about {
                    About::Caller => true,
                    About::Everything => reach == GrantScope::All && high_enough,
                    About::Platform => reach.entity().is_none() && high_enough,
                    About::Entity => high_enough,
                };
                assert_eq!(result["action"], operation.id);
                assert_eq!(result["allowed"], expected, "{held}: {result}");
                let reason = result["reason"].as_str().unwrap();
                assert!(reason.ends_with('.') && !reason.is_empty(), "{reason}");
            }
        }
    }
}

#[tokio::test]
async fn a_reason_names_what_allows_or_what_is_missing() {
    let world = World::start().await;
    let caller = person(vec![grant(Role::Developer, &world.of_tenant())]);
    let (own, other) = (&world.own, &world.other);
    let check = |action: &str, entity: &domain::EntityId| json!({ "action": action, "platformId": own, "entityId": entity });
    let checks = json!([
        check("createEntity", &world.below),
        check("getEntity", &world.tenant),
        check("getEntity", &world.beside),
        check("getEntity", &domain::EntityId::random()),
        { "action": "listEntities", "platformId": own },
        { "action": "getPlatform", "platformId": other },
        { "action": "createPlatform" },
        { "action": "whoami" },
    ]);
    let told = can(&world, &caller, checks).await.expect(200);
    let said: Vec<(bool, &str)> = told["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["allowed"].as_bool().unwrap(), one["reason"].as_str().unwrap()))
        .collect();
    let mine =
        format!("You are developer of entity '{}' of platform '{own}' and what is under it.", world.tenant);
    assert_eq!(said[0], (true, mine.as_str()));
    assert_eq!(said[1], (true, mine.as_str()));
    let beside = format!("None of your grants reaches entity '{}' of platform '{own}'.", world.beside);
    assert_eq!(said[2], (false, beside.as_str()));
    assert!(
        !said[3].0 && said[3].1.starts_with("None of your grants reaches entity"),
        "as one that lies outside"
    );
    let whole = format!("None of your grants reaches platform '{own}' as a whole.");
    assert_eq!(said[4], (false, whole.as_str()));
    let foreign = format!("None of your grants reaches platform '{other}' as a whole.");
    assert_eq!(said[5], (false, foreign.as_str()));
    assert!(!said[6].0 && said[6].1.contains("operator of all platforms"), "{}", said[6].1);
    assert!(said[7].0);

    let low = can(&world, &caller, json!([check("deleteKeyring", &world.tenant)])).await;
    low.expect_error(400, "VALIDATION_ERROR");
    let viewer = person(vec![grant(Role::Viewer, &world.all_of_own())]);
    let told = can(&world, &viewer, json!([check("createEntity", &world.below)])).await.expect(200);
    let expected = format!("This needs the role developer, and you are viewer of platform '{own}'.");
    assert_eq!(told["results"][0]["reason"], expected);
    assert_eq!(told["results"][0]["entityId"], json!(world.below));
}

#[tokio::test]
async fn what_cannot_be_answered_is_told_by_its_place() {
    let world = World::start().await;
    let checks = json!([
        { "action": "whoami" },
        { "action": "flyToTheMoon" },
        { "action": "getEntity" },
        { "action": "createPlatform", "entityId": world.tenant },
    ]);
    let details = world.post(CAN, json!({ "checks": checks })).await.expect_error(400, "VALIDATION_ERROR");
    let paths: Vec<&str> =
        details["fields"].as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["checks.1.action", "checks.2.platformId", "checks.3.platformId"]);
    for n in [0, 101] {
        let checks = vec![json!({ "action": "whoami" }); n];
        world.post(CAN, json!({ "checks": checks })).await.expect_error(400, "VALIDATION_ERROR");
    }
    let checks = vec![json!({ "action": "whoami" }); 100];
    assert_eq!(
        world.post(CAN, json!({ "checks": checks })).await.expect(200)["results"].as_array().unwrap().len(),
        100
    );
}

#[tokio::test]
async fn the_registry_is_asked_only_when_the_answer_depends_on_it() {
    let iam = alone().await;
    let (platform, entity) = (domain::PlatformId::random(), domain::EntityId::random());
    let body = json!({ "checks": [{ "action": "getEntity", "platformId": platform, "entityId": entity }] });
    let of_platform = GrantScope::Platform(platform.clone());
    let of_itself = GrantScope::Entity(platform.clone(), entity.clone());
    let of_another = GrantScope::Entity(platform.clone(), domain::EntityId::random());
    for reach in [GrantScope::All, of_platform, of_itself] {
        let caller = person(vec![grant(Role::Viewer, &reach)]);
        let told = send_as(&iam, &caller, Method::POST, CAN, &body).await.expect(200);
        assert_eq!(told["results"][0]["allowed"], true);
    }
    let caller = person(vec![grant(Role::Viewer, &of_another)]);
    send_as(&iam, &caller, Method::POST, CAN, &body).await.expect_error(503, "SERVICE_UNAVAILABLE");
}
