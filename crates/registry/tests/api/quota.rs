//! What a tier allows a platform to have.

use domain::{Grant, PlatformId, Reach, Role};
use kit::{Caller, identity::ActorType};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Response;

use crate::world::World;

async fn as_admin(world: &World, platform: &str, method: Method, path: &str, body: Value) -> Response {
    let reach = Reach::Platform(PlatformId::parse(platform).unwrap());
    let caller =
        Caller::known("apikey:admin", ActorType::Apikey, vec![Grant { role: Role::PlatformAdmin, reach }]);
    let path = format!("/api/v1/platforms/{platform}{path}");
    Response::read(world.request_as(&caller, method, &path).json(&body).send().await.unwrap()).await
}

fn tenant(n: usize) -> Value {
    json!({ "name": format!("Tenant {n}"), "slug": format!("tenant-{n}"), "type": "tenant" })
}

#[tokio::test]
async fn a_starter_platform_has_three_tenants() {
    let world = World::start().await;
    let platform = world.platform("shop").await;
    for n in 0..3 {
        as_admin(&world, &platform, Method::POST, "/entities", tenant(n)).await.expect(201);
    }
    let refused = as_admin(&world, &platform, Method::POST, "/entities", tenant(3)).await;
    let error = refused.expect_error(429, "QUOTA_EXCEEDED");
    assert_eq!(error, json!({ "quota": "tenants", "limit": 3, "tier": "starter" }));
    // A subtenant is none, a deleted one no more, and an operator is not held to it.
    let first = world.get(&format!("/api/v1/platforms/{platform}/entities")).await.expect(200);
    let first = first["data"][0]["id"].as_str().unwrap().to_owned();
    let child = json!({ "name": "Child", "slug": "child", "type": "subtenant", "parentId": first });
    let child = as_admin(&world, &platform, Method::POST, "/entities", child).await.expect(201);
    world.post(&format!("/api/v1/platforms/{platform}/entities"), tenant(3)).await.expect(201);
    let path = format!("/api/v1/platforms/{platform}/entities");
    world.delete(&format!("{path}/{}", child["id"].as_str().unwrap())).await.expect(200);
    world.delete(&format!("{path}/{first}")).await.expect(200);
    as_admin(&world, &platform, Method::POST, "/entities", tenant(4))
        .await
        .expect_error(429, "QUOTA_EXCEEDED");
}

#[tokio::test]
async fn of_many_at_once_no_more_pass_than_may() {
    let world = World::start().await;
    let platform = world.platform("shop").await;
    let all = (0..16).map(|n| as_admin(&world, &platform, Method::POST, "/entities", tenant(n)));
    let answers = futures_util::future::join_all(all).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 3, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_starter_platform_runs_five_features() {
    let world = World::start().await;
    let platform = world.platform("shop").await;
    let (one, other) = (world.tenant(&platform, "one").await, world.tenant(&platform, "two").await);
    let activate = async |entity: &str, feature: &str, environment: &str| {
        let body = json!({ "featureId": feature, "version": "1.0.0", "environment": environment });
        let path = format!("/entities/{entity}/features/activate");
        as_admin(&world, &platform, Method::POST, &path, body).await
    };
    for feature in ["a", "b", "c", "d", "e"] {
        activate(&one, feature, "prod").await.expect(202);
    }
    // The same feature elsewhere is no other feature.
    activate(&other, "a", "prod").await.expect(202);
    activate(&one, "b", "stg").await.expect(202);
    let refused = activate(&other, "f", "prod").await.expect_error(429, "QUOTA_EXCEEDED");
    assert_eq!(refused, json!({ "quota": "features", "limit": 5, "tier": "starter" }));
}

#[tokio::test]
async fn nobody_raises_their_own_tier() {
    let world = World::start().await;
    let platform = world.platform("shop").await;
    let raised = as_admin(&world, &platform, Method::PATCH, "", json!({ "tier": "scale" })).await;
    raised.expect_error(403, "FORBIDDEN");
    as_admin(&world, &platform, Method::PATCH, "", json!({ "name": "Shop" })).await.expect(200);
    world.patch(&format!("/api/v1/platforms/{platform}"), json!({ "tier": "growth" })).await.expect(200);
    for n in 0..4 {
        as_admin(&world, &platform, Method::POST, "/entities", tenant(n)).await.expect(201);
    }
}
