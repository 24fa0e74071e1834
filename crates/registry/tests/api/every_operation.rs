//! Properties of every operation. The tests in `reach` verify that no operation is missing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    feature::Feature,
    operation::{ALL, Created, Operation, operations},
    stack::Stack,
    templates::{Behavior, Templates},
    world::{World, text},
};

/// Settings of a registry with a running stack registry.
pub(crate) async fn templates() -> Value {
    Templates::start(Behavior::Shop("active", Some("1.0.0"))).await.settings()
}

/// A platform with one object of every type.
pub(crate) struct Fixture {
    pub(crate) world: World,
    pub(crate) parts: Vec<(&'static str, String)>,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with_world(World::start_with(templates().await).await).await
    }

    pub(crate) async fn with_world(world: World) -> Self {
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
        let created =
            fixture.world.post(&fixture.fill("/api/v1/platforms/{p}/stacks"), body).await.expect(201);
        let s = text(&created, "id");
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
        let parts = fixture.parts.into_iter().chain(parts).collect();
        let mut fixture = Self { parts, world: fixture.world };
        for Created { part, path, body } in ALL.iter().flat_map(|cases| (cases.created)()) {
            let path = fixture.fill(&format!("/api/v1{path}"));
            let created = fixture.world.post(&path, fixture.body(&body)).await.expect(201);
            fixture.parts.push((part, text(&created, "id")));
        }
        fixture
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

#[tokio::test]
async fn callers_of_another_platform_see_and_change_nothing() {
    let fixture = Fixture::new().await;
    let (world, writes) = (&fixture.world, fixture.world.writes().await);
    let other = json!({ "platform": world.platform("other").await });
    let writes = writes + 1;
    for Operation { method, template, path, body, is_for_operators } in operations() {
        let path = format!("/api/v1{}", fixture.fill(&path));
        let answer = world.send_as(&other, method, &path, &fixture.body(&body)).await;
        match (template.as_str(), is_for_operators) {
            ("/platforms", false) => assert_eq!(answer.expect(200)["pagination"]["total"], 1),
            // The response does not reveal that only operators could delete the platform.
            ("/platforms/{platformId}", true) => drop(answer.expect_error(404, "NOT_FOUND")),
            (_, true) => drop(answer.expect_error(403, "FORBIDDEN")),
            _ => drop(answer.expect_error(404, "NOT_FOUND")),
        }
    }
    assert_eq!(world.writes().await, writes);
}

#[tokio::test]
async fn every_write_supports_dry_run_and_idempotency() {
    let fixture = Fixture::new().await;
    let world = &fixture.world;
    for (n, Operation { method, template, path, body, .. }) in operations().into_iter().enumerate() {
        // A change of a feature or stack also starts a build. Deleting a stack also deactivates its features.
        let two = ["activate", "/upgrade", "/rollback"].iter().any(|end| template.ends_with(end))
            || (method == Method::DELETE && template.ends_with("/stacks/{stackId}"));
        let entries = if two { 2 } else { 1 };
        let (path, body) = (format!("/api/v1{}", fixture.fill(&path)), fixture.body(&body));
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
        assert_eq!(world.writes().await, writes + entries, "{method} {path}");
        let again = world.send(method.clone(), &path, &body, &[("Idempotency-Key", &key)]).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{method} {path} {}", again.body);
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{method} {path}");
        assert_eq!(again.header("etag"), first.header("etag"), "{method} {path}");
        assert_eq!(world.writes().await, writes + entries, "{method} {path}");
        let events = world.number("SELECT count(*) FROM outbox WHERE destination IS NULL").await;
        assert_eq!(events, writes + entries, "one event per audit entry");
    }
    // Every type of entry can be used as a filter, so each slice has declared its type.
    for entry in world.get("/api/v1/audit?limit=100").await.expect(200)["data"].as_array().unwrap() {
        let path = format!("/api/v1/audit?entity={}", text(entry, "entityType"));
        let found = world.get(&path).await.expect(200);
        assert!(!found["data"].as_array().unwrap().is_empty(), "{path}");
    }
}
