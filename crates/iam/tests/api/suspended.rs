//! Access to a suspended platform.

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
    let create = async |caller, list: &str, field: &str, scope| {
        let body = body(Role::Viewer, scope, json!({ field: "someone" }));
        world.send_as(caller, Method::POST, list, &body).await
    };
    let key = create(&admin, KEYS, "name", &tenant).await.expect(201);
    let binding = create(&admin, BINDINGS, "subject", &tenant).await.expect(201);
    let suspend = format!("/api/v1/platforms/{}/suspend", world.own);
    world.registry.post(&suspend, json!({})).await.expect(200);
    for scope in [&world.all_of_own(), &tenant] {
        for (list, field) in [(KEYS, "name"), (BINDINGS, "subject")] {
            create(&admin, list, field, scope).await.expect_error(403, "PLATFORM_SUSPENDED");
            create(&developer, list, field, scope).await.expect_error(403, "FORBIDDEN");
        }
    }
    // Revoking access stays possible.
    for (list, created) in [(KEYS, &key), (BINDINGS, &binding)] {
        let path = format!("{list}/{}", text(created, "id"));
        world.send_as(&admin, Method::DELETE, &path, &json!(null)).await.expect(200);
    }
    world.post(KEYS, body(Role::Viewer, &tenant, json!({ "name": "of the operator" }))).await.expect(201);
}
