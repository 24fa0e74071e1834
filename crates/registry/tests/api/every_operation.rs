//! What is true of every operation. That none is left out is seen in `reach`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    feature::Feature,
    stack::Stack,
    templates::{Answers, Templates},
    world::{World, resource_body},
};

/// Settings of a registry that a stack registry is there for.
pub(crate) async fn templates() -> Value {
    Templates::start(Answers::Shop("active", Some("1.0.0"))).await.settings()
}

/// A platform with one of everything.
pub(crate) struct Fixture {
    pub(crate) world: World,
    pub(crate) parts: Vec<(&'static str, String)>,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::of(World::start_with(templates().await).await).await
    }

    pub(crate) async fn of(world: World) -> Self {
        let p = world.platform("p").await;
        let top = world.tenant(&p, "top").await;
        let (e, leaf) = (world.subtenant(&p, "e", &top).await, world.subtenant(&p, "leaf", &top).await);
        let (r, d1) = (world.resource(&p, &e, "r").await, world.resource(&p, &e, "d1").await);
        let d2 = world.resource(&p, &e, "d2").await;
        let dns = world.dns_record(&p, "a.example", &r).await;
        let spare = world.dns_record(&p, "spare.example", &r).await;
        let (domain, old) =
            (world.domain(&p, &spare, "shop.example").await, world.domain(&p, &spare, "old.example").await);
        let (build, q) = (world.build(&p, "prod").await, world.platform("q").await);
        world
            .post(&format!("/api/v1/platforms/{p}/resources/{r}/secrets/S"), json!({ "status": "set" }))
            .await
            .expect(201);
        let parts = vec![
            ("{p}", p),
            ("{top}", top),
            ("{e}", e),
            ("{leaf}", leaf),
            ("{r}", r),
            ("{d1}", d1),
            ("{d2}", d2),
            ("{dns}", dns),
            ("{spare}", spare),
            ("{domain}", domain),
            ("{old}", old),
            ("{build}", build),
            ("{q}", q),
        ];
        let fixture = Self { parts, world };
        let body = json!({ "tenantId": fixture.fill("{e}"), "name": "s" });
        let made = fixture.world.post(&fixture.fill("/api/v1/platforms/{p}/stacks"), body).await.expect(201);
        let s = crate::world::text(&made, "id");
        let (p, e) = (fixture.fill("{p}"), fixture.fill("{e}"));
        let on = Feature::new(&p, &e, "on", "prod");
        let job = on.activate(&fixture.world, "1.0.0").await;
        on.complete(&fixture.world, &job, "1.0.0").await;
        let w = fixture.world.tenant(&p, "w").await;
        Feature::new(&p, &w, "slow", "prod").activate(&fixture.world, "1.0.0").await;
        let mut parts = vec![("{s}", s), ("{w}", w)];
        for name in ["{up}", "{back}", "{gone}"] {
            let stack = Stack::active(&fixture.world, &p, name.trim_matches(['{', '}'])).await;
            if name == "{back}" {
                stack.upgrade(&fixture.world, "2.0.0").await.expect(202);
                stack.complete(&fixture.world).await;
            }
            parts.push((name, stack.id));
        }
        Self { parts: fixture.parts.into_iter().chain(parts).collect(), world: fixture.world }
    }

    pub(crate) fn fill(&self, text: &str) -> String {
        self.parts.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
    }

    pub(crate) fn body(&self, body: &Value) -> Value {
        if body.is_null() {
            Value::Null
        } else {
            serde_json::from_str(&self.fill(&body.to_string())).unwrap()
        }
    }
}

/// An operation: method, path in the document, path of a request, body, whether it is for operators alone.
pub(crate) struct Operation(
    pub(crate) Method,
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) Value,
    pub(crate) bool,
);

fn get(document: &'static str, path: &'static str) -> Operation {
    Operation(Method::GET, document, path, Value::Null, false)
}

fn post(document: &'static str, path: &'static str, body: Value) -> Operation {
    Operation(Method::POST, document, path, body, false)
}

fn patch(document: &'static str, path: &'static str, body: Value) -> Operation {
    Operation(Method::PATCH, document, path, body, false)
}

fn delete(document: &'static str, path: &'static str) -> Operation {
    Operation(Method::DELETE, document, path, Value::Null, false)
}

/// In an order in which all can be done.
pub(crate) fn operations() -> Vec<Operation> {
    let resources = [("", "n1", "{d1}"), ("/resources", "n2", "{d2}")];
    let of_resources =
        resources.into_iter().flat_map(|(prefix, name, gone)| of_resources(prefix, name, gone));
    reads().into_iter().chain(writes()).chain(of_resources).chain(of_platforms()).collect()
}

fn reads() -> Vec<Operation> {
    vec![
        get("/platforms/{platformId}", "/platforms/{p}"),
        get("/platforms/{platformId}/lifecycle", "/platforms/{p}/lifecycle"),
        get("/platforms/{platformId}/audit", "/platforms/{p}/audit"),
        get("/platforms/{platformId}/entities", "/platforms/{p}/entities"),
        get("/platforms/{platformId}/entities/{entityId}", "/platforms/{p}/entities/{e}"),
        get("/platforms/{platformId}/entities/{entityId}/ancestors", "/platforms/{p}/entities/{e}/ancestors"),
        get(
            "/platforms/{platformId}/entities/{entityId}/descendants",
            "/platforms/{p}/entities/{e}/descendants",
        ),
        get("/platforms/{platformId}/resources/{resourceId}/secrets", "/platforms/{p}/resources/{r}/secrets"),
        get("/platforms/{platformId}/entities/{entityId}/features", "/platforms/{p}/entities/{e}/features"),
        get(
            "/platforms/{platformId}/entities/{entityId}/features/{featureId}",
            "/platforms/{p}/entities/{e}/features/on",
        ),
        get("/platforms/{platformId}/entities/{entityId}/manifest", "/platforms/{p}/entities/{e}/manifest"),
        get("/platforms/{platformId}/builds", "/platforms/{p}/builds"),
        get("/platforms/{platformId}/builds/latest", "/platforms/{p}/builds/latest"),
        get("/platforms/{platformId}/stacks", "/platforms/{p}/stacks"),
        get("/platforms/{platformId}/stacks/{stackId}", "/platforms/{p}/stacks/{s}"),
        get("/platforms/{platformId}/stacks/{stackId}/dns", "/platforms/{p}/stacks/default/dns"),
        get(
            "/platforms/{platformId}/stacks/{stackId}/dns/{dnsId}",
            "/platforms/{p}/stacks/default/dns/{dns}",
        ),
        get("/platforms/{platformId}/dns/{dnsId}", "/platforms/{p}/dns/{dns}"),
        get("/platforms/{platformId}/domains", "/platforms/{p}/domains"),
        get("/platforms/{platformId}/domains/{domainId}/explain", "/platforms/{p}/domains/{domain}/explain"),
        get("/platforms/{platformId}/explain", "/platforms/{p}/explain"),
        get("/platforms/{platformId}/stacks/{stackId}/explain", "/platforms/{p}/stacks/{s}/explain"),
        get(
            "/platforms/{platformId}/entities/{entityId}/features/{featureId}/explain",
            "/platforms/{p}/entities/{w}/features/slow/explain",
        ),
        Operation(Method::GET, "/domains/pending", "/domains/pending", Value::Null, true),
    ]
}

fn writes() -> Vec<Operation> {
    let entity = json!({ "name": "N", "slug": "n", "type": "tenant" });
    let secret = "/platforms/{platformId}/resources/{resourceId}/secrets/{secretName}";
    let stack = json!({ "tenantId": "{e}", "name": "n" });
    let record = json!({ "hostname": "b.example", "targetType": "worker", "resourceId": "{r}", "environment": "prod" });
    let build = json!({ "buildStatus": "failed" });
    let domain = json!({ "dnsRecordId": "{spare}", "hostname": "new.example", "targetDns": "spare.{p}.nno.localhost" });
    let one_domain = "/platforms/{platformId}/domains/{domainId}";
    vec![
        post("/platforms/{platformId}/entities", "/platforms/{p}/entities", entity),
        patch(
            "/platforms/{platformId}/entities/{entityId}",
            "/platforms/{p}/entities/{e}",
            json!({ "name": "M" }),
        ),
        delete("/platforms/{platformId}/entities/{entityId}", "/platforms/{p}/entities/{leaf}"),
        post(secret, "/platforms/{p}/resources/{r}/secrets/A", json!({ "status": "set" })),
        patch("/platforms/{platformId}/builds/{buildId}", "/platforms/{p}/builds/{build}", build),
        post(
            "/platforms/{platformId}/entities/{entityId}/features/activate",
            "/platforms/{p}/entities/{e}/features/activate",
            json!({ "featureId": "off", "version": "1.0.0", "environment": "prod" }),
        ),
        post(
            "/platforms/{platformId}/entities/{entityId}/features/deactivate",
            "/platforms/{p}/entities/{e}/features/deactivate",
            json!({ "featureId": "on", "environment": "prod" }),
        ),
        post("/platforms/{platformId}/stacks", "/platforms/{p}/stacks", stack),
        post(
            "/platforms/{platformId}/stacks/{stackId}/upgrade",
            "/platforms/{p}/stacks/{up}/upgrade",
            json!({ "version": "2.0.0" }),
        ),
        post(
            "/platforms/{platformId}/stacks/{stackId}/rollback",
            "/platforms/{p}/stacks/{back}/rollback",
            json!({}),
        ),
        delete("/platforms/{platformId}/stacks/{stackId}", "/platforms/{p}/stacks/{gone}"),
        post("/platforms/{platformId}/stacks/{stackId}/dns", "/platforms/{p}/stacks/{s}/dns", record),
        delete(
            "/platforms/{platformId}/stacks/{stackId}/dns/{dnsId}",
            "/platforms/{p}/stacks/default/dns/{dns}",
        ),
        post("/platforms/{platformId}/domains", "/platforms/{p}/domains", domain),
        patch(one_domain, "/platforms/{p}/domains/{domain}", json!({ "sslStatus": "active" })),
        delete(one_domain, "/platforms/{p}/domains/{old}"),
    ]
}

fn of_resources(prefix: &str, name: &str, gone: &str) -> Vec<Operation> {
    // What a test leaks is little.
    let at = |path: &str| -> &'static str { format!("{prefix}{path}").leak() };
    let resource = at("/platforms/{platformId}/resources/{resourceId}");
    let of_entity = at("/platforms/{platformId}/entities/{entityId}/resources");
    vec![
        get(at("/lookup"), at("/lookup?cfName=r")),
        get(at("/platforms/{platformId}/resources"), at("/platforms/{p}/resources")),
        get(of_entity, at("/platforms/{p}/entities/{e}/resources")),
        get(resource, at("/platforms/{p}/resources/{r}")),
        post(of_entity, at("/platforms/{p}/entities/{e}/resources"), resource_body(name)),
        patch(resource, at("/platforms/{p}/resources/{r}"), json!({ "cfId": name })),
        delete(resource, at(&format!("/platforms/{{p}}/resources/{gone}"))),
    ]
}

fn of_platforms() -> Vec<Operation> {
    let platform = json!({ "name": "N", "slug": "n" });
    vec![
        Operation(Method::GET, "/audit", "/audit", Value::Null, true),
        Operation(Method::POST, "/platforms", "/platforms", platform, true),
        patch("/platforms/{platformId}", "/platforms/{p}", json!({ "name": "M" })),
        post("/platforms/{platformId}/suspend", "/platforms/{p}/suspend", json!({})),
        post("/platforms/{platformId}/restore", "/platforms/{p}/restore", json!({})),
        post("/platforms/{platformId}/cancel", "/platforms/{p}/cancel", json!({})),
        post("/platforms/{platformId}/delete", "/platforms/{p}/delete", json!({})),
        Operation(Method::DELETE, "/platforms/{platformId}", "/platforms/{q}", Value::Null, true),
        get("/platforms", "/platforms"),
    ]
}

#[tokio::test]
async fn another_platform_s_people_see_and_change_nothing() {
    let fixture = Fixture::new().await;
    let (world, writes) = (&fixture.world, fixture.world.writes().await);
    let other = json!({ "platform": world.platform("other").await });
    let writes = writes + 1;
    for Operation(method, document, path, body, operators) in operations() {
        let path = format!("/api/v1{}", fixture.fill(path));
        let answer = world.send_as(&other, method, &path, &fixture.body(&body)).await;
        match (document, operators) {
            ("/platforms", false) => assert_eq!(answer.expect(200)["pagination"]["total"], 1),
            // That someone else's platform could be deleted by operators alone is not told either.
            ("/platforms/{platformId}", true) => drop(answer.expect_error(404, "NOT_FOUND")),
            (_, true) => drop(answer.expect_error(403, "FORBIDDEN")),
            _ => drop(answer.expect_error(404, "NOT_FOUND")),
        }
    }
    assert_eq!(world.writes().await, writes);
}

#[tokio::test]
async fn every_write_can_be_tried_and_repeated() {
    let fixture = Fixture::new().await;
    let world = &fixture.world;
    for (n, Operation(method, document, path, body, _)) in operations().into_iter().enumerate() {
        // A change of a feature or of a stack starts a build, which is a change of its own; the features of a stack end
        // with it.
        let two = ["activate", "/upgrade", "/rollback"].iter().any(|end| document.ends_with(end))
            || (method == Method::DELETE && document.ends_with("/stacks/{stackId}"));
        let made = if two { 2 } else { 1 };
        let (path, body) = (format!("/api/v1{}", fixture.fill(path)), fixture.body(&body));
        if method == Method::GET {
            world.get(&path).await.expect(200);
            continue;
        }
        let writes = world.writes().await;
        let tried = world.send(method.clone(), &format!("{path}?dryRun=true"), &body, &[]).await;
        assert_eq!(tried.header("dry-run"), Some("true"), "{method} {path} {}", tried.body);
        assert_eq!(world.writes().await, writes, "{method} {path}");

        let key = format!("key-{n}");
        let first = world.send(method.clone(), &path, &body, &[("Idempotency-Key", &key)]).await;
        assert!(first.status.is_success(), "{method} {path} {}", first.body);
        assert_eq!(first.status, tried.status, "{method} {path}");
        assert_eq!(world.writes().await, writes + made, "{method} {path}");
        let again = world.send(method.clone(), &path, &body, &[("Idempotency-Key", &key)]).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{method} {path} {}", again.body);
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{method} {path}");
        assert_eq!(again.header("etag"), first.header("etag"), "{method} {path}");
        assert_eq!(world.writes().await, writes + made, "{method} {path}");
        let events = world.number("SELECT count(*) FROM outbox WHERE destination IS NULL").await;
        assert_eq!(events, writes + made, "a fact for each entry");
    }
}
