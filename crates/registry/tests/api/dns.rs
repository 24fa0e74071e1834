//! DNS records over HTTP.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    operation::{Cases, Operation},
    world::{World, faults, ids, text},
};

/// Test cases of the DNS operations.
pub(crate) const CASES: Cases = Cases { created: Vec::new, operations };

fn operations() -> Vec<Operation> {
    let list = "/platforms/{platformId}/stacks/{stackId}/dns";
    let one = &format!("{list}/{{dnsId}}");
    vec![
        Operation::get(list, "/platforms/{p}/stacks/default/dns"),
        Operation::get(one, "/platforms/{p}/stacks/default/dns/{dns}"),
        Operation::get("/platforms/{platformId}/dns/{dnsId}", "/platforms/{p}/dns/{dns}"),
        Operation::post(list, "/platforms/{p}/stacks/{s}/dns", record("b.example", "{r}")),
        Operation::delete(one, "/platforms/{p}/stacks/default/dns/{dns}"),
    ]
}

fn record(hostname: &str, resource: &str) -> Value {
    json!({ "hostname": hostname, "targetType": "worker", "resourceId": resource, "environment": "prod" })
}

impl World {
    /// Returns the id of a new record of the default stack.
    pub(crate) async fn dns_record(&self, platform: &str, hostname: &str, resource: &str) -> String {
        let path = format!("/api/v1/platforms/{platform}/stacks/default/dns");
        text(&self.post(&path, record(hostname, resource)).await.expect(201), "id")
    }
}

#[tokio::test]
async fn dns_record_is_created_read_and_deleted() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let (stack, resource) =
        (world.stack(&platform, &tenant, "main").await, world.resource(&platform, &tenant, "x").await);
    let dns = format!("/api/v1/platforms/{platform}/stacks/{stack}/dns");
    let created = world.post(&dns, record("Auth.Example.COM", &resource)).await.expect(201);
    let fields = [
        ("hostname", json!("auth.example.com")),
        ("platformId", json!(platform)),
        ("stackId", json!(stack)),
        ("targetType", json!("worker")),
        ("resourceId", json!(resource)),
        ("environment", json!("prod")),
        ("cfRouteId", Value::Null),
        ("status", json!("pending")),
    ];
    for (name, value) in fields {
        assert_eq!(created[name], value, "{name}");
    }
    let id = text(&created, "id");
    let own = format!("{dns}/{id}");
    let read = world.get(&own).await;
    let etag = read.header("etag").unwrap().to_owned();
    assert_eq!(read.expect(200), created);
    assert_eq!(world.get(&format!("/api/v1/platforms/{platform}/dns/{id}")).await.expect(200), created);
    let elsewhere = format!("/api/v1/platforms/{platform}/stacks/default/dns/{id}");
    world.get(&elsewhere).await.expect_error(404, "NOT_FOUND");
    world.delete(&elsewhere).await.expect_error(404, "NOT_FOUND");
    let stale = world.send(Method::DELETE, &own, &Value::Null, &[("If-Match", "\"x\"")]).await;
    stale.expect_error(412, "PRECONDITION_FAILED");
    let response = world.send(Method::DELETE, &own, &Value::Null, &[("If-Match", &etag)]).await;
    assert_eq!((response.status.as_u16(), response.body), (204, Value::Null));
    world.get(&own).await.expect_error(404, "NOT_FOUND");
    world.delete(&own).await.expect_error(404, "NOT_FOUND");
    world.post(&dns, record("auth.example.com", &resource)).await.expect(201);
}

#[tokio::test]
async fn invalid_dns_records_are_rejected() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let (resource, foreign) =
        (world.resource(&platform, &platform, "x").await, world.resource(&other, &other, "y").await);
    let dns = format!("/api/v1/platforms/{platform}/stacks/default/dns");
    world.dns_record(&other, "taken.example.com", &foreign).await;
    let taken = world.post(&dns, record("Taken.example.com", &resource)).await;
    assert_eq!(taken.expect_error(409, "ALREADY_EXISTS")["hostname"], "taken.example.com");
    for host in [
        "localhost",
        "a..b",
        "-a.example",
        "127.0.0.1",
        "a_b.example",
        &format!("{}.example", "a".repeat(64)),
    ] {
        assert_eq!(faults(world.post(&dns, record(host, &resource)).await), ["hostname"], "{host}");
    }
    for id in [foreign.as_str(), "x", &Uuid::now_v7().to_string()] {
        assert_eq!(faults(world.post(&dns, record("a.example", id)).await), ["resourceId"], "{id}");
    }
    let mut paths = faults(world.post(&dns, json!({ "environment": "x", "ttl": 1 })).await);
    paths.sort();
    assert_eq!(paths, ["environment", "hostname", "resourceId", "targetType", "ttl"]);
    let unknown = format!("/api/v1/platforms/{platform}/stacks/aaaaaaaaaa/dns");
    world.post(&unknown, record("a.example", &resource)).await.expect_error(404, "NOT_FOUND");
    world.get(&unknown).await.expect_error(404, "NOT_FOUND");
    assert_eq!(world.number("SELECT count(*) FROM dns_records").await, 1);
}

#[tokio::test]
async fn dns_list_uses_the_envelope_of_the_contract() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let resource = world.resource(&platform, &platform, "x").await;
    let mut created = Vec::new();
    for n in 0..3 {
        created.push(world.dns_record(&platform, &format!("h{n}.example.com"), &resource).await);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let dns = format!("/api/v1/platforms/{platform}/stacks/default/dns");
    let first = world.get(&format!("{dns}?limit=2")).await.expect(200);
    assert_eq!(
        (ids(&first), &first["hasMore"]),
        (vec![created[2].clone(), created[1].clone()], &json!(true))
    );
    let rest = world.get(&format!("{dns}?limit=2&cursor={}", text(&first, "cursor"))).await.expect(200);
    assert_eq!(
        (ids(&rest), &rest["hasMore"], &rest["cursor"]),
        (vec![created[0].clone()], &json!(false), &Value::Null)
    );
    assert_eq!(rest.as_object().unwrap().len(), 3);
}
