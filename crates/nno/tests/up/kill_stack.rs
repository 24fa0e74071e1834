//! The real process, killed at every step boundary of a stack's upgrade and of the way back. Whoever looks at the
//! manifest, before the death and after it, sees one whole version.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    kill::{Gate, get},
    system::{Place, Up, eventually},
};

const STEPS: [&str; 8] = ["begin", "turns", "shared", "databases", "workers", "dns", "switch", "cleanup"];
const OLD: (&str, &[(&str, &str)]) = ("1.0.0", &[("cart", "1.0.0"), ("search", "1.0.0"), ("theme", "1.0.0")]);
const NEW: (&str, &[(&str, &str)]) =
    ("2.0.0-rc.1", &[("cart", "2.0.0"), ("search", "1.1.0"), ("wish", "1.0.0")]);

async fn post(up: &Up, path: &str, body: Value) -> Value {
    let (status, body) = up.ask(Method::POST, path, Some(body)).await.unwrap();
    assert!((200..300).contains(&status), "{path}: {status} {body}");
    body
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap().to_owned()
}

async fn publish(up: &Up) {
    let template = json!({ "name": "mall", "displayName": "Mall", "description": "Sells" });
    post(up, "/api/v1/stacks", template).await;
    for (version, features) in [OLD, NEW] {
        let features: Vec<Value> = features
            .iter()
            .map(|(id, version)| {
                json!({ "id": id, "version": version, "package": format!("@mall/{id}"), "required": true, "permissions": [] })
            })
            .collect();
        let resources = json!({ "d1": true, "r2": true, "kv": true, "queue": true });
        let definition = json!({ "schemaVersion": 1, "displayName": "Mall", "features": features, "resources": resources });
        let body = json!({ "version": version, "stackDefinition": definition, "nnoSdkVersion": "1.0.0" });
        post(up, "/api/v1/stacks/mall/versions", body).await;
    }
}

/// A stack of `mall`, and its tenant's manifest.
struct Stack {
    path: String,
    manifest: String,
    platform: String,
}

impl Stack {
    async fn new(up: &Up) -> Self {
        let platform = id(&post(up, "/api/v1/platforms", json!({ "name": "Acme", "slug": "acme" })).await);
        let at = |path: &str| format!("/api/v1/platforms/{platform}/{path}");
        let tenant = json!({ "name": "Tenant", "slug": "t", "type": "tenant" });
        let tenant = id(&post(up, &at("entities"), tenant).await);
        let body = json!({ "tenantId": tenant, "name": "main", "templateId": "mall" });
        let stack = id(&post(up, &at("stacks"), body).await);
        let (path, manifest) = (at(&format!("stacks/{stack}")), at(&format!("entities/{tenant}/manifest")));
        Self { path, manifest, platform }
    }

    /// What the manifest shows: nothing before the stack's first activation, or one whole version.
    async fn shown(&self, up: &Up) -> Value {
        let manifest = get(up, &self.manifest).await;
        let features: Vec<_> = manifest["features"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["id"].as_str().unwrap(), one["version"].as_str().unwrap()))
            .collect();
        assert!([&[], OLD.1, NEW.1].contains(&features.as_slice()), "a mixture: {manifest}");
        manifest["features"].clone()
    }

    /// Waits until it runs a version and its job has ended, and checks that all of it is there.
    async fn runs(&self, place: &Place, up: &Up, (version, features): (&str, &[(&str, &str)]), why: &str) {
        let mut now = Value::Null;
        eventually(&format!("{why}: {version} runs"), async || {
            self.shown(up).await;
            now = get(up, &self.path).await;
            let job = now["provisionJobId"].as_str().unwrap();
            // The job may be yet to come.
            let job = up.ask(Method::GET, &format!("/api/v1/provisioning/jobs/{job}"), None).await.unwrap().1;
            now["status"] == "active" && job["status"] == "COMPLETED"
        })
        .await;
        assert_eq!((&now["templateVersion"], &now["error"]), (&json!(version), &Value::Null), "{why}: {now}");
        let shown = self.shown(up).await;
        assert_eq!(shown.as_array().unwrap().len(), features.len(), "{why}: {shown}");
        assert_eq!(shown[0]["version"], features[0].1, "{why}");
        // Real things on disk: a worker for each feature, and what they share.
        let made = |kind: &str| {
            let entries =
                fs::read_dir(place.data().join("provider").join(kind)).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.filter(|name| name.starts_with(&self.platform)).count()
        };
        assert_eq!([made("worker"), made("r2"), made("kv"), made("queue")], [3, 1, 1, 1], "{why}");
        let resources = get(up, &format!("/api/v1/platforms/{}/resources?limit=100", self.platform)).await;
        let resources = resources["data"].as_array().unwrap().clone();
        assert!(resources.iter().all(|one| one["status"] == "active"), "{why}: {resources:?}");
        let workers = resources.iter().filter(|one| one["resourceType"] == "worker").count();
        assert_eq!(workers, features.len(), "{why}");
    }
}

#[tokio::test]
async fn killed_at_every_step_of_an_upgrade_and_of_the_way_back() {
    let place = Place::new();
    let mut up = place.up().await;
    publish(&up).await;
    let stack = Stack::new(&up).await;
    stack.runs(&place, &up, OLD, "made").await;
    Gate::open(&place, "nno_provisioning").await.install().await;
    for step in STEPS {
        for (status, to) in [("in_progress", NEW), ("completed", OLD)] {
            let why = format!("{step} {status}");
            let gate = Gate::open(&place, "nno_provisioning").await;
            gate.hold(step, status).await;
            match to {
                NEW => post(&up, &format!("{}/upgrade", stack.path), json!({ "version": NEW.0 })).await,
                _ => post(&up, &format!("{}/rollback", stack.path), json!({})).await,
            };
            eventually(&format!("{step} is about to be {status}"), async || {
                stack.shown(&up).await;
                gate.someone_waits().await
            })
            .await;
            stack.shown(&up).await;
            up.kill().await;
            gate.let_go().await;
            drop(gate);
            up = place.up().await;
            stack.runs(&place, &up, to, &why).await;
        }
    }
    up.stop().await;
}
