//! Names and host names belong to platforms: the registry rejects names in the form of another platform's.

use domain::{Grant, GrantScope, Kind, PlatformId, Role};
use identity::{ActorType, Caller};
use reqwest::Method;
use rpc::registry as r;
use serde_json::{Value, json};
use testkit::Response;
use uuid::Uuid;

use crate::world::{World, faults, ids, resource_body, text};

const BASE: &str = "nno.localhost";

impl World {
    /// Sends a request as a developer of one platform.
    pub(crate) async fn as_developer(
        &self,
        platform: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> Response {
        let scope = GrantScope::Platform(PlatformId::parse(platform).unwrap());
        let grants = vec![Grant { role: Role::Developer, scope }];
        let mut request =
            self.request_as(&Caller::authenticated("user:dev", ActorType::User, grants), method, path);
        if !body.is_null() {
            request = request.json(&body);
        }
        Response::read(request.send().await.unwrap()).await
    }

    /// Registers a resource as a developer of its platform.
    async fn register(&self, platform: &str, name: &str) -> Response {
        let path = format!("/api/v1/platforms/{platform}/entities/{platform}/resources");
        self.as_developer(platform, Method::POST, &path, resource_body(name)).await
    }

    /// Inserts a resource as an earlier version stored it, with a name that is rejected now.
    async fn insert_resource(&self, platform: &str, name: &str) -> String {
        let id = Uuid::now_v7();
        let name = name.replace('\'', "''");
        self.sql(&format!(
            "INSERT INTO resources (id, platform_id, entity_id, stack_id, resource_type, service_name, environment, \
                 cf_name, status, created_at, updated_at) \
             VALUES ('{id}', '{platform}', '{platform}', 'default', 'kv', 's', 'prod', '{name}', 'active', now(), now())"
        ))
        .await;
        id.to_string()
    }
}

/// Names that earlier versions stored and no provider accepts.
fn impossible() -> Vec<String> {
    let fixed =
        ["My Cache", "..", "../../victim", "/x", "a/b", "*", "a'b", "UPPER", "\u{202e}x", "a.b", "a_b"];
    fixed.into_iter().map(str::to_owned).chain(["a".repeat(64), "a".repeat(256)]).collect()
}

#[tokio::test]
async fn resource_name_with_another_platforms_prefix_is_400() {
    let world = World::start().await;
    let (a, b) = (world.platform("a").await, world.platform("b").await);
    let names = [
        format!("{b}-default-f1"),
        format!("{b}-"),
        "zzzzzzzzzz-x".to_owned(),
        "production-cache".to_owned(),
    ];
    for name in &names {
        for prefix in ["/api/v1", "/api/v1/resources"] {
            let path = format!("{prefix}/platforms/{a}/entities/{a}/resources");
            let answer = world.as_developer(&a, Method::POST, &path, resource_body(name)).await;
            let message = answer.body["error"]["details"]["fields"][0]["message"].clone();
            assert_eq!(faults(answer), ["cfName"], "{name}");
            assert!(message.as_str().unwrap().contains(&format!("'{a}-'")), "{message}");
        }
        // The result depends neither on the existence of that platform nor on the role.
        let path = format!("/api/v1/platforms/{a}/entities/{a}/resources");
        assert_eq!(faults(world.post(&path, resource_body(name)).await), ["cfName"], "{name}");
    }
    assert_eq!(world.number("SELECT count(*) FROM resources").await, 0);
    for name in [format!("{a}-default-f1"), "cache".to_owned(), "a-b".to_owned(), b.clone(), "x".repeat(63)] {
        world.register(&a, &name).await.expect(201);
    }
}

#[tokio::test]
async fn resource_name_that_no_provider_accepts_is_400() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    for name in impossible() {
        assert_eq!(faults(world.register(&platform, &name).await), ["cfName"], "{name}");
    }
    assert_eq!(world.number("SELECT count(*) FROM resources").await, 0);
}

#[tokio::test]
async fn name_of_a_deleted_resource_stays_with_its_platform() {
    let world = World::start().await;
    let (a, b) = (world.platform("a").await, world.platform("b").await);
    let name = format!("{b}-default-vault-db");
    let id = text(&world.register(&b, &name).await.expect(201), "id");
    let path = format!("/api/v1/platforms/{b}/resources/{id}");
    world.as_developer(&b, Method::DELETE, &path, Value::Null).await.expect(200);
    assert_eq!(faults(world.register(&a, &name).await), ["cfName"]);
    world.register(&b, &name).await.expect(201);
}

#[tokio::test]
async fn caller_outside_the_scope_gets_404_before_names_are_checked() {
    let world = World::start().await;
    let (a, b) = (world.platform("a").await, world.platform("b").await);
    let path = format!("/api/v1/platforms/{b}/entities/{b}/resources");
    let body = resource_body(&format!("{a}-x"));
    world.as_developer(&a, Method::POST, &path, body.clone()).await.expect_error(404, "NOT_FOUND");
    world.delete(&format!("/api/v1/platforms/{b}")).await.expect(200);
    world.post(&path, body).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn resources_with_invalid_names_can_be_read_listed_and_deleted() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let own = format!("/api/v1/platforms/{platform}/resources");
    for name in impossible() {
        let id = world.insert_resource(&platform, &name).await;
        let path = format!("{own}/{id}");
        let read = world.as_developer(&platform, Method::GET, &path, Value::Null).await.expect(200);
        assert_eq!(read["cfName"], name);
        assert_eq!(ids(&world.get(&own).await.expect(200)), [id.as_str()]);
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = world.get(&format!("/api/v1/lookup?cfName={encoded}")).await.expect(200);
        assert_eq!(text(&found, "id"), id);
        world.as_developer(&platform, Method::PATCH, &path, json!({ "status": "failed" })).await.expect(200);
        world.as_developer(&platform, Method::DELETE, &path, Value::Null).await.expect(200);
        assert_eq!(world.get(&own).await.expect(200)["data"], json!([]), "{name}");
    }
}

#[tokio::test]
async fn operator_deletes_resources_of_a_deleted_platform() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let id = world.insert_resource(&platform, "My Cache").await;
    world.delete(&format!("/api/v1/platforms/{platform}")).await.expect(200);
    let own = format!("/api/v1/platforms/{platform}/resources");
    let shown = |path: &str| format!("{path}?includeDeleted=true");
    let one = format!("{own}/{id}");
    for path in [&own, &one] {
        world.get(path).await.expect_error(404, "NOT_FOUND");
        world
            .as_developer(&platform, Method::GET, &shown(path), Value::Null)
            .await
            .expect_error(404, "NOT_FOUND");
    }
    assert_eq!(ids(&world.get(&shown(&own)).await.expect(200)), [id.as_str()]);
    assert_eq!(world.get(&shown(&one)).await.expect(200)["cfName"], "My Cache");
    world.delete(&one).await.expect_error(404, "NOT_FOUND");
    let refused = world.as_developer(&platform, Method::DELETE, &shown(&one), Value::Null).await;
    refused.expect_error(404, "NOT_FOUND");
    let elsewhere = format!("/api/v1/platforms/{other}/resources/{id}");
    world.delete(&shown(&elsewhere)).await.expect_error(404, "NOT_FOUND");
    world.delete(&shown(&one)).await.expect(200);
    world.delete(&shown(&one)).await.expect_error(404, "NOT_FOUND");
    assert_eq!(world.get(&shown(&own)).await.expect(200)["data"], json!([]));
    let nowhere = "/api/v1/platforms/aaaaaaaaaa/resources";
    world.get(&shown(nowhere)).await.expect_error(404, "NOT_FOUND");
}

/// Host names that platform `a` must not use, because they belong to the system or to platform `b`.
pub(crate) fn foreign_hosts(a: &str, b: &str) -> Vec<String> {
    vec![
        BASE.to_owned(),
        format!("svc.{BASE}"),
        format!("{a}.{BASE}"),
        format!("{b}.{BASE}"),
        format!("auth.svc.default.{b}.{BASE}"),
        format!("AUTH.svc.Default.{b}.NNO.LocalHost"),
        format!("{a}.{b}.{BASE}"),
        format!("auth.svc.default.{b}.{BASE}."),
        format!("x{a}.{BASE}"),
        format!("a.svc.default.zzzzzzzzzz.{BASE}"),
        format!("auth.svc.default.{b}.nno\u{3002}localhost"),
        format!("auth.svc.default.{b}.\u{ff4e}\u{ff4e}\u{ff4f}.localhost"),
        format!("auth.svc.default.{b}.xn--nno-.localhost"),
        format!("{}.{BASE}", "a.".repeat(130)),
        format!("{}.svc.default.{a}.{BASE}", "a".repeat(64)),
    ]
}

#[tokio::test]
async fn dns_record_below_the_base_domain_must_be_the_platforms_own() {
    let world = World::start().await;
    let (a, b) = (world.platform("a").await, world.platform("b").await);
    let resource = world.resource(&a, &a, "x").await;
    let path = format!("/api/v1/platforms/{a}/stacks/default/dns");
    let body = |hostname: &str| json!({ "hostname": hostname, "targetType": "worker", "resourceId": resource, "environment": "prod" });
    for host in foreign_hosts(&a, &b) {
        let answer = world.as_developer(&a, Method::POST, &path, body(&host)).await;
        assert_eq!(faults(answer), ["hostname"], "{host}");
        assert_eq!(faults(world.post(&path, body(&host)).await), ["hostname"], "{host}");
    }
    let good = [
        format!("auth.svc.default.{a}.{BASE}"),
        format!("X.{a}.{BASE}"),
        "www.acme.com".to_owned(),
        format!("x{BASE}"),
    ];
    for host in good {
        let created = world.as_developer(&a, Method::POST, &path, body(&host)).await.expect(201);
        assert_eq!(created["hostname"], host.to_lowercase());
    }
}

#[tokio::test]
async fn custom_domain_is_outside_the_base_domain_and_points_to_its_platform() {
    let world = World::start().await;
    let (a, b) = (world.platform("a").await, world.platform("b").await);
    let resource = world.resource(&a, &a, "x").await;
    let own = format!("auth.svc.default.{a}.{BASE}");
    let record = world.dns_record(&a, &own, &resource).await;
    let path = format!("/api/v1/platforms/{a}/domains");
    let body = |hostname: &str, target: &str| json!({ "hostname": hostname, "targetDns": target, "dnsRecordId": record });
    let send = async |hostname: &str, target: &str| {
        world.as_developer(&a, Method::POST, &path, body(hostname, target)).await
    };
    for host in foreign_hosts(&a, &b).iter().chain([&own]) {
        assert_eq!(faults(send(host, &own).await), ["hostname"], "{host}");
    }
    for target in foreign_hosts(&a, &b).iter().map(String::as_str).chain(["vic.org", "www.acme.com"]) {
        assert_eq!(faults(send("www.acme.com", target).await), ["targetDns"], "{target}");
    }
    let mut both = faults(send(BASE, "vic.org").await);
    both.sort();
    assert_eq!(both, ["hostname", "targetDns"]);
    send("www.acme.com", &own.to_uppercase()).await.expect(201);
}

#[tokio::test]
async fn services_cannot_register_foreign_names_either() {
    let world = World::start().await;
    let (a, b) = (world.platform("a").await, world.platform("b").await);
    let id = world.resource(&a, &a, "x").await;
    for name in [format!("{b}-default-f1"), "My Cache".to_owned(), "../x".to_owned()] {
        let resource = r::Resource {
            platform_id: a.clone(),
            entity_id: a.clone(),
            stack_id: "default".to_owned(),
            resource_type: r::ResourceType::Worker.into(),
            service_name: "f1".to_owned(),
            environment: r::Environment::Prod.into(),
            cf_name: name.clone(),
            status: r::ResourceStatus::Pending.into(),
            ..r::Resource::default()
        };
        let message = r::EnsureResourceRequest { resource: Some(resource) };
        let answer =
            world.call("provisioning", None, message, async |mut c, m| c.ensure_resource(m).await).await;
        assert_eq!(answer.unwrap_err().kind(), Kind::Validation, "{name}");
    }
    let outside = ["www.acme.com".to_owned()];
    for hostname in foreign_hosts(&a, &b).into_iter().chain(outside) {
        let record = r::DnsRecord {
            platform_id: a.clone(),
            stack_id: "default".to_owned(),
            hostname: hostname.clone(),
            target_type: "worker".to_owned(),
            resource_id: id.clone(),
            environment: r::Environment::Prod.into(),
            status: r::DnsStatus::Pending.into(),
            ..r::DnsRecord::default()
        };
        let message = r::EnsureDnsRecordRequest { record: Some(record) };
        let answer =
            world.call("provisioning", None, message, async |mut c, m| c.ensure_dns_record(m).await).await;
        assert_eq!(answer.unwrap_err().kind(), Kind::Validation, "{hostname}");
    }
}
