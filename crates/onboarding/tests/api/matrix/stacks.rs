//! Scenarios of the jobs for a stack of a tenant.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{harness::Harness, run::Run};
use crate::system::System;

/// Each of the two versions has one feature that the other does not have.
const VERSIONS: [(&str, [(&str, &str); 2]); 2] = [
    ("1.0.0", [("cart", "1.0.0"), ("theme", "1.0.0")]),
    ("2.0.0-rc.1", [("cart", "2.0.0"), ("wish", "1.0.0")]),
];

/// Publishes the template. The second version is a pre-release, so new stacks use the first.
pub(crate) async fn publish(system: &System) {
    let body = json!({ "name": "mall", "displayName": "Mall", "description": "Sells" });
    system.stacks.post("/api/v1/stacks", body).await.expect(201);
    for (version, features) in VERSIONS {
        let features = features.map(|(id, version)| {
            json!({ "id": id, "version": version, "package": format!("@mall/{id}"), "required": true, "permissions": [] })
        });
        let kv = version != VERSIONS[0].0;
        let definition = json!({ "schemaVersion": 1, "displayName": "Mall", "features": features,
            "resources": { "d1": true, "r2": false, "kv": kv, "queue": false } });
        let body = json!({ "version": version, "stackDefinition": definition, "nnoSdkVersion": "1.0.0" });
        system.stacks.post("/api/v1/stacks/mall/versions", body).await.expect(201);
    }
}

struct Stack<'s> {
    harness: &'s Harness,
    platform: String,
    tenant: String,
    path: String,
}

fn job_of(response: &Value) -> Uuid {
    response["provisionJobId"].as_str().unwrap().parse().unwrap()
}

impl<'s> Stack<'s> {
    /// Creates a stack with the first version.
    async fn active(harness: &'s Harness, slug: &str) -> Self {
        let (platform, tenant) = harness.tenant(slug).await;
        let at = format!("/api/v1/platforms/{platform}/stacks");
        let body = json!({ "tenantId": tenant, "name": "main", "templateId": "mall" });
        let id = harness.create(&at, body).await;
        let stack = Self { harness, platform, tenant, path: format!("{at}/{id}") };
        harness.wait_until_completed(job_of(&stack.get().await)).await;
        stack
    }

    async fn get(&self) -> Value {
        self.harness.get(&self.path).await.expect(200)
    }

    /// Asserts that the registry, the manifest and the provider all have this version.
    async fn assert_runs(&self, (version, features): (&str, [(&str, &str); 2])) {
        let stack = self.get().await;
        let status = (&stack["status"], &stack["templateVersion"]);
        assert_eq!(status, (&json!("active"), &json!(version)), "{stack}");
        let manifest = format!("/api/v1/platforms/{}/entities/{}/manifest", self.platform, self.tenant);
        let manifest = self.harness.get(&manifest).await.expect(200);
        let listed: Vec<_> = manifest["features"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (&one["id"], &one["version"]))
            .collect();
        let expected = features.map(|(id, version)| (json!(id), json!(version)));
        assert_eq!(listed, expected.iter().map(|(id, version)| (id, version)).collect::<Vec<_>>());
        let kinds = self.harness.kinds(&self.platform).await;
        let count = |kind: &str| kinds.iter().filter(|one| *one == kind).count();
        assert_eq!((count("worker"), count("dns_record")), (2, 2), "{kinds:?}");
    }
}

pub(crate) async fn upgrade(harness: &Harness, run: &Arc<Run>, slug: &str) {
    let [old, new] = VERSIONS;
    let stack = Stack::active(harness, slug).await;
    let before = (harness.live(&stack.platform).await, harness.deployments(&stack.platform).await);
    harness.matrix.arm(run, &stack.platform);
    let response =
        harness.request(Method::POST, &format!("{}/upgrade", stack.path), json!({ "version": new.0 })).await;
    response.expect(202);
    harness.wait_for_end(run).await;
    harness.matrix.injector.end_outage(&stack.platform);
    let after = (harness.live(&stack.platform).await, harness.deployments(&stack.platform).await);
    if run.is_undone() {
        assert_eq!(after, before, "the stack is unchanged");
        stack.assert_runs(old).await;
    } else {
        // The data of the removed feature stays.
        assert_eq!(after.0.iter().filter(|one| one.starts_with("d1 ")).count(), 4, "{after:?}");
        stack.assert_runs(new).await;
    }
    harness.assert_consistent(run, &stack.platform).await;
}

pub(crate) async fn delete(harness: &Harness, run: &Arc<Run>, slug: &str) {
    let stack = Stack::active(harness, slug).await;
    harness.matrix.arm(run, &stack.platform);
    let body = json!({ "deleteData": true });
    harness.request(Method::DELETE, &stack.path, body).await.expect(202);
    harness.wait_for_end(run).await;
    harness.matrix.injector.end_outage(&stack.platform);
    harness.assert_nothing_left(&stack.platform).await;
    harness.assert_consistent(run, &stack.platform).await;
    harness.get(&stack.path).await.expect_error(404, "NOT_FOUND");
}
