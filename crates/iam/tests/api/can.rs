//! Identity and permissions of the caller.

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
async fn whoami_returns_the_callers_grants() {
    let world = World::start().await;
    let caller =
        person(vec![grant(Role::Viewer, &world.all_of_own()), grant(Role::Developer, &world.of_tenant())]);
    let response = world.send_as(&caller, Method::GET, "/api/v1/iam/whoami", &Value::Null).await.expect(200);
    let expected = json!({
        "id": "user:someone", "actorType": "user",
        "grants": [
            { "role": "viewer", "platformId": world.own, "entityId": null },
            { "role": "developer", "platformId": world.own, "entityId": world.tenant },
        ],
    });
    assert_eq!(response, expected);
    let operator = world.get("/api/v1/iam/whoami").await.expect(200);
    let everything = json!([{ "role": "operator", "platformId": null, "entityId": null }]);
    assert_eq!(
        (&operator["id"], &operator["actorType"], &operator["grants"]),
        (&json!("operator"), &json!("operator"), &everything)
    );
}

#[tokio::test]
async fn results_follow_from_the_declared_access() {
    let world = World::start().await;
    let (own, tenant) = (json!(world.own), json!(world.tenant));
    for (held, scope) in [
        (Role::Viewer, world.all_of_own()),
        (Role::Developer, world.of_tenant()),
        (Role::PlatformAdmin, world.all_of_own()),
        (Role::Operator, GrantScope::All),
    ] {
        let caller = person(vec![grant(held, &scope)]);
        for operations in all_operations().unwrap().chunks(100) {
            let checks: Vec<Value> = operations
                .iter()
                .map(|one| match one.about {
                    About::Caller | About::Everything => json!({ "action": one.id }),
                    About::Platform => json!({ "action": one.id, "platformId": own }),
                    About::Entity => json!({ "action": one.id, "platformId": own, "entityId": tenant }),
                })
                .collect();
            let response = can(&world, &caller, json!(checks)).await.expect(200);
            for (operation, result) in operations.iter().zip(response["results"].as_array().unwrap()) {
                let high_enough = held >= operation.least;
                let expected = match operation.about {
                    About::Caller => true,
                    About::Everything => scope == GrantScope::All && high_enough,
                    About::Platform => scope.entity().is_none() && high_enough,
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
async fn reason_states_the_grant_or_the_missing_role() {
    let world = World::start().await;
    let caller = person(vec![grant(Role::Developer, &world.of_tenant())]);
    let (own, other) = (&world.own, &world.other);
    let check = |action: &str, entity: &domain::EntityId| json!({ "action": action, "platformId": own, "entityId": entity });
    let checks = json!([
        check("createEntity", &world.child),
        check("getEntity", &world.tenant),
        check("getEntity", &world.sibling),
        check("getEntity", &domain::EntityId::random()),
        { "action": "listEntities", "platformId": own },
        { "action": "getPlatform", "platformId": other },
        { "action": "createPlatform" },
        { "action": "whoami" },
    ]);
    let response = can(&world, &caller, checks).await.expect(200);
    let results: Vec<(bool, &str)> = response["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["allowed"].as_bool().unwrap(), one["reason"].as_str().unwrap()))
        .collect();
    let own_grant =
        format!("You are developer of entity '{}' of platform '{own}' and its descendants.", world.tenant);
    assert_eq!(results[0], (true, own_grant.as_str()));
    assert_eq!(results[1], (true, own_grant.as_str()));
    let sibling = format!("None of your grants covers entity '{}' of platform '{own}'.", world.sibling);
    assert_eq!(results[2], (false, sibling.as_str()));
    assert!(
        !results[3].0 && results[3].1.starts_with("None of your grants covers entity"),
        "an unknown entity has the same reason as one out of scope"
    );
    let whole = format!("None of your grants covers platform '{own}' as a whole.");
    assert_eq!(results[4], (false, whole.as_str()));
    let foreign = format!("None of your grants covers platform '{other}' as a whole.");
    assert_eq!(results[5], (false, foreign.as_str()));
    assert!(!results[6].0 && results[6].1.contains("operator for all platforms"), "{}", results[6].1);
    assert!(results[7].0);

    let low = can(&world, &caller, json!([check("deleteKeyring", &world.tenant)])).await;
    low.expect_error(400, "VALIDATION_ERROR");
    let viewer = person(vec![grant(Role::Viewer, &world.all_of_own())]);
    let response = can(&world, &viewer, json!([check("createEntity", &world.child)])).await.expect(200);
    let expected = format!("This action requires the role developer. You are viewer of platform '{own}'.");
    assert_eq!(response["results"][0]["reason"], expected);
    assert_eq!(response["results"][0]["entityId"], json!(world.child));
}

#[tokio::test]
async fn invalid_checks_are_reported_by_index() {
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
async fn registry_is_queried_only_if_the_result_depends_on_it() {
    let iam = alone().await;
    let (platform, entity) = (domain::PlatformId::random(), domain::EntityId::random());
    let body = json!({ "checks": [{ "action": "getEntity", "platformId": platform, "entityId": entity }] });
    let of_platform = GrantScope::Platform(platform.clone());
    let of_itself = GrantScope::Entity(platform.clone(), entity.clone());
    let of_another = GrantScope::Entity(platform.clone(), domain::EntityId::random());
    for scope in [GrantScope::All, of_platform, of_itself] {
        let caller = person(vec![grant(Role::Viewer, &scope)]);
        let response = send_as(&iam, &caller, Method::POST, CAN, &body).await.expect(200);
        assert_eq!(response["results"][0]["allowed"], true);
    }
    let caller = person(vec![grant(Role::Viewer, &of_another)]);
    send_as(&iam, &caller, Method::POST, CAN, &body).await.expect_error(503, "SERVICE_UNAVAILABLE");
}
