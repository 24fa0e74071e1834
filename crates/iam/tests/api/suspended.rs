//! Access to a platform that is suspended.

use domain::{GrantScope, Role};
use reqwest::Method;
use serde_json::json;

use crate::world::{BINDINGS, KEYS, World, body, grant, person, text};

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_grant_access_to_a_suspended_platform() {
    let world = World::start().await;
    let admin = person(vec![grant(Role::PlatformAdmin, &world.all_of_own())]);
    let developer = person(vec![grant(Role::Developer, &world.all_of_own())]);
    let tenant = GrantScope::Entity(world.own.clone(), world.tenant.clone());
    let make = async |caller, list: &str, field: &str, reach| {
        let body = body(Role::Viewer, reach, json!({ field: "someone" }));
        world.send_as(caller, Method::POST, list, &body).await
    };
    let key = make(&admin, KEYS, "name", &tenant).await.expect(201);
    let binding = make(&admin, BINDINGS, "subject", &tenant).await.expect(201);
    let suspend = format!("/api/v1/platforms/{}/suspend", world.own);
    world.registry.post(&suspend, json!({})).await.expect(200);
    for reach in [&world.all_of_own(), &tenant] {
        for (list, field) in [(KEYS, "name"), (BINDINGS, "subject")] {
            make(&admin, list, field, reach).await.expect_error(403, "PLATFORM_SUSPENDED");
            make(&developer, list, field, reach).await.expect_error(403, "FORBIDDEN");
        }
    }
    // What only takes access away stays possible.
    for (list, made) in [(KEYS, &key), (BINDINGS, &binding)] {
        let path = format!("{list}/{}", text(made, "id"));
        world.send_as(&admin, Method::DELETE, &path, &json!(null)).await.expect(200);
    }
    world.post(KEYS, body(Role::Viewer, &tenant, json!({ "name": "of the operator" }))).await.expect(201);
}
