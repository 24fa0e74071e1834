//! What a tier allows: how many platforms a person may have, and what one may have.

use domain::{Grant, GrantScope, Kind, PlatformId, Result, Role, platform::Tier};
use identity::{ActorType, Caller};
use reqwest::Method;
use rpc::registry::{CheckQuotaRequest, CreatePlatformRequest, CreatePlatformResponse, Platform};
use serde_json::{Value, json};
use testkit::Response;

use crate::world::World;

async fn as_admin(world: &World, platform: &str, method: Method, path: &str, body: Value) -> Response {
    let reach = GrantScope::Platform(PlatformId::parse(platform).unwrap());
    let caller = Caller::authenticated(
        "apikey:admin",
        ActorType::Apikey,
        vec![Grant { role: Role::PlatformAdmin, scope: reach }],
    );
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

/// A platform of a person's, as onboarding asks for it.
fn of(owner: &str, slug: &str, tier: &str) -> CreatePlatformRequest {
    CreatePlatformRequest {
        name: "Shop".to_owned(),
        slug: slug.to_owned(),
        tier: rpc::enum_number(Tier::parse(tier).unwrap()),
        owner_user_id: owner.to_owned(),
        platform_id: PlatformId::random().to_string(),
        limited: true,
    }
}

async fn make(world: &World, asked: CreatePlatformRequest) -> Result<Platform> {
    let answer = world
        .call("onboarding", None, asked, async |mut client, request| client.create_platform(request).await);
    answer.await.map(|CreatePlatformResponse { platform }| platform.unwrap())
}

#[tokio::test]
async fn whoever_has_as_many_platforms_as_the_tier_allows_gets_no_other() {
    let world = World::start().await;
    let asked = of("user:ada", "one", "starter");
    let first = make(&world, asked.clone()).await.unwrap();
    let refused = make(&world, of("user:ada", "two", "starter")).await.unwrap_err();
    let told = json!({ "quota": "platforms", "limit": 1, "used": 1, "tier": "starter" });
    assert_eq!((refused.kind(), json!(refused.details())), (Kind::QuotaExceeded, told));
    assert_eq!(make(&world, asked).await.unwrap(), first, "what is asked again is the same platform");

    // Those of every tier are counted; the tier that is asked for has the limit.
    for slug in ["two", "three"] {
        make(&world, of("user:ada", slug, "growth")).await.unwrap();
    }
    for (tier, limit) in [("starter", 1), ("growth", 3)] {
        let refused = make(&world, of("user:ada", "four", tier)).await.unwrap_err();
        assert_eq!(refused.details()["limit"], limit);
        assert_eq!(refused.details()["used"], 3);
    }
    make(&world, of("user:ada", "four", "scale")).await.unwrap();

    // Nobody else is held to hers, nor is she where an operator gives her one.
    make(&world, of("user:bob", "bobs", "starter")).await.unwrap();
    make(&world, CreatePlatformRequest { limited: false, ..of("user:ada", "five", "starter") })
        .await
        .unwrap();
    let asked =
        CheckQuotaRequest { owner_user_id: "user:ada".to_owned(), tier: rpc::enum_number(Tier::Growth) };
    let told =
        world.call("onboarding", None, asked, async |mut client, request| client.check_quota(request).await);
    let told = told.await.unwrap();
    assert_eq!((told.limit, told.platform_ids.len()), (3, 5));
    assert!(told.platform_ids.contains(&first.id));
}

#[tokio::test]
async fn a_deleted_platform_leaves_its_place_to_another() {
    let world = World::start().await;
    let first = make(&world, of("user:ada", "one", "starter")).await.unwrap();
    make(&world, of("user:ada", "two", "starter")).await.unwrap_err();
    world.delete(&format!("/api/v1/platforms/{}", first.id)).await.expect(200);
    make(&world, of("user:ada", "two", "starter")).await.unwrap();
    assert_eq!(make(&world, of("user:ada", "one", "starter")).await.unwrap_err().kind(), Kind::QuotaExceeded);
}

#[tokio::test]
async fn of_many_platforms_at_once_no_more_are_made_than_may_be() {
    let quotas = json!({ "starter": { "platforms": 2 }, "growth": { "platforms": 0 } });
    let world = World::start_with(json!({ "service": { "quotas": quotas } })).await;
    let slugs: Vec<String> = (0..16).map(|n| format!("shop-{n}")).collect();
    let all = slugs.iter().map(|slug| make(&world, of("user:ada", slug, "starter")));
    let (made, refused): (Vec<_>, Vec<_>) =
        futures_util::future::join_all(all).await.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 2);
    assert!(refused.iter().all(|one| one.as_ref().is_err_and(|error| error.kind() == Kind::QuotaExceeded)));
    // 0 is no limit.
    for n in 0..4 {
        make(&world, of("user:ada", &format!("more-{n}"), "growth")).await.unwrap();
    }
}
