//! Tier quotas: limits on the platforms of a user, and on the contents of a platform.

use domain::{Grant, GrantScope, Kind, PlatformId, Result, Role, platform::Tier};
use identity::{ActorType, Caller};
use reqwest::Method;
use rpc::registry::{CheckQuotaRequest, CreatePlatformRequest, CreatePlatformResponse, Platform};
use serde_json::{Value, json};
use testkit::Response;

use crate::world::World;

async fn as_admin(world: &World, platform: &str, method: Method, path: &str, body: Value) -> Response {
    let scope = GrantScope::Platform(PlatformId::parse(platform).unwrap());
    let caller = Caller::authenticated(
        "apikey:admin",
        ActorType::Apikey,
        vec![Grant { role: Role::PlatformAdmin, scope }],
    );
    let path = format!("/api/v1/platforms/{platform}{path}");
    Response::read(world.request_as(&caller, method, &path).json(&body).send().await.unwrap()).await
}

fn tenant(n: usize) -> Value {
    json!({ "name": format!("Tenant {n}"), "slug": format!("tenant-{n}"), "type": "tenant" })
}

#[tokio::test]
async fn starter_platform_has_at_most_three_tenants() {
    let world = World::start().await;
    let platform = world.platform("shop").await;
    for n in 0..3 {
        as_admin(&world, &platform, Method::POST, "/entities", tenant(n)).await.expect(201);
    }
    let refused = as_admin(&world, &platform, Method::POST, "/entities", tenant(3)).await;
    let error = refused.expect_error(429, "QUOTA_EXCEEDED");
    assert_eq!(error, json!({ "quota": "tenants", "limit": 3, "tier": "starter" }));
    // Subtenants and deleted tenants do not count, and the limit does not apply to operators.
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
async fn concurrent_creates_do_not_exceed_the_tenant_limit() {
    let world = World::start().await;
    let platform = world.platform("shop").await;
    let all = (0..16).map(|n| as_admin(&world, &platform, Method::POST, "/entities", tenant(n)));
    let answers = futures_util::future::join_all(all).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 3, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
}

#[tokio::test]
async fn starter_platform_has_at_most_five_features() {
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
    // The same feature on another entity counts once.
    activate(&other, "a", "prod").await.expect(202);
    activate(&one, "b", "stg").await.expect(202);
    let refused = activate(&other, "f", "prod").await.expect_error(429, "QUOTA_EXCEEDED");
    assert_eq!(refused, json!({ "quota": "features", "limit": 5, "tier": "starter" }));
}

#[tokio::test]
async fn platform_admin_cannot_raise_the_tier() {
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

/// Request for a platform of a user, as onboarding sends it.
fn platform_request(owner: &str, slug: &str, tier: &str) -> CreatePlatformRequest {
    CreatePlatformRequest {
        name: "Shop".to_owned(),
        slug: slug.to_owned(),
        tier: rpc::enum_number(Tier::parse(tier).unwrap()),
        owner_user_id: owner.to_owned(),
        platform_id: PlatformId::random().to_string(),
        limited: true,
    }
}

async fn create_platform(world: &World, request: CreatePlatformRequest) -> Result<Platform> {
    let answer = world
        .call("onboarding", None, request, async |mut client, request| client.create_platform(request).await);
    answer.await.map(|CreatePlatformResponse { platform }| platform.unwrap())
}

#[tokio::test]
async fn user_at_the_platform_limit_gets_no_further_platform() {
    let world = World::start().await;
    let request = platform_request("user:ada", "one", "starter");
    let first = create_platform(&world, request.clone()).await.unwrap();
    let refused = create_platform(&world, platform_request("user:ada", "two", "starter")).await.unwrap_err();
    let details = json!({ "quota": "platforms", "limit": 1, "used": 1, "tier": "starter" });
    assert_eq!((refused.kind(), json!(refused.details())), (Kind::QuotaExceeded, details));
    assert_eq!(
        create_platform(&world, request).await.unwrap(),
        first,
        "a repeated request is the same platform"
    );

    // Platforms of every tier count; the requested tier sets the limit.
    for slug in ["two", "three"] {
        create_platform(&world, platform_request("user:ada", slug, "growth")).await.unwrap();
    }
    for (tier, limit) in [("starter", 1), ("growth", 3)] {
        let refused = create_platform(&world, platform_request("user:ada", "four", tier)).await.unwrap_err();
        assert_eq!(refused.details()["limit"], limit);
        assert_eq!(refused.details()["used"], 3);
    }
    create_platform(&world, platform_request("user:ada", "four", "scale")).await.unwrap();

    // Her limit applies neither to other users nor to platforms that an operator gives her.
    create_platform(&world, platform_request("user:bob", "bobs", "starter")).await.unwrap();
    create_platform(
        &world,
        CreatePlatformRequest { limited: false, ..platform_request("user:ada", "five", "starter") },
    )
    .await
    .unwrap();
    let request =
        CheckQuotaRequest { owner_user_id: "user:ada".to_owned(), tier: rpc::enum_number(Tier::Growth) };
    let response = world
        .call("onboarding", None, request, async |mut client, request| client.check_quota(request).await);
    let quota = response.await.unwrap();
    assert_eq!((quota.limit, quota.platform_ids.len()), (3, 5));
    assert!(quota.platform_ids.contains(&first.id));
}

#[tokio::test]
async fn deleted_platform_does_not_count_towards_the_limit() {
    let world = World::start().await;
    let first = create_platform(&world, platform_request("user:ada", "one", "starter")).await.unwrap();
    create_platform(&world, platform_request("user:ada", "two", "starter")).await.unwrap_err();
    world.delete(&format!("/api/v1/platforms/{}", first.id)).await.expect(200);
    create_platform(&world, platform_request("user:ada", "two", "starter")).await.unwrap();
    assert_eq!(
        create_platform(&world, platform_request("user:ada", "one", "starter")).await.unwrap_err().kind(),
        Kind::QuotaExceeded
    );
}

#[tokio::test]
async fn concurrent_creates_do_not_exceed_the_platform_limit() {
    let quotas = json!({ "starter": { "platforms": 2 }, "growth": { "platforms": 0 } });
    let world = World::start_with(json!({ "service": { "quotas": quotas } })).await;
    let slugs: Vec<String> = (0..16).map(|n| format!("shop-{n}")).collect();
    let all = slugs.iter().map(|slug| create_platform(&world, platform_request("user:ada", slug, "starter")));
    let (created, refused): (Vec<_>, Vec<_>) =
        futures_util::future::join_all(all).await.into_iter().partition(Result::is_ok);
    assert_eq!(created.len(), 2);
    assert!(refused.iter().all(|one| one.as_ref().is_err_and(|error| error.kind() == Kind::QuotaExceeded)));
    // 0 means no limit.
    for n in 0..4 {
        create_platform(&world, platform_request("user:ada", &format!("more-{n}"), "growth")).await.unwrap();
    }
}
