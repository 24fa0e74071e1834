//! Jobs for a stack of a tenant.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{run::Run, stage::Stage};
use crate::system::System;

/// The first version has a feature that the next has not, and the next one that the first has not.
const VERSIONS: [(&str, [(&str, &str); 2]); 2] = [
    ("1.0.0", [("cart", "1.0.0"), ("theme", "1.0.0")]),
    ("2.0.0-rc.1", [("cart", "2.0.0"), ("wish", "1.0.0")]),
];

/// Publishes the template. The next version is a pre-release: new stacks are made of the first.
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
    stage: &'s Stage,
    platform: String,
    tenant: String,
    path: String,
}

fn job_of(answer: &Value) -> Uuid {
    answer["provisionJobId"].as_str().unwrap().parse().unwrap()
}

impl<'s> Stack<'s> {
    /// One that runs the first version.
    async fn active(stage: &'s Stage, slug: &str) -> Self {
        let (platform, tenant) = stage.tenant(slug).await;
        let at = format!("/api/v1/platforms/{platform}/stacks");
        let body = json!({ "tenantId": tenant, "name": "main", "templateId": "mall" });
        let id = stage.make(&at, body).await;
        let stack = Self { stage, platform, tenant, path: format!("{at}/{id}") };
        stage.completed(job_of(&stack.get().await)).await;
        stack
    }

    async fn get(&self) -> Value {
        self.stage.get(&self.path).await.expect(200)
    }

    /// It is whole: what the registry says of it, what the manifest shows, and what there is.
    async fn assert_runs(&self, (version, features): (&str, [(&str, &str); 2])) {
        let now = self.get().await;
        assert_eq!((&now["status"], &now["templateVersion"]), (&json!("active"), &json!(version)), "{now}");
        let manifest = format!("/api/v1/platforms/{}/entities/{}/manifest", self.platform, self.tenant);
        let shown = self.stage.get(&manifest).await.expect(200);
        let shown: Vec<_> =
            shown["features"].as_array().unwrap().iter().map(|one| (&one["id"], &one["version"])).collect();
        let expected = features.map(|(id, version)| (json!(id), json!(version)));
        assert_eq!(shown, expected.iter().map(|(id, version)| (id, version)).collect::<Vec<_>>());
        let kinds = self.stage.kinds(&self.platform).await;
        let count = |kind: &str| kinds.iter().filter(|one| *one == kind).count();
        assert_eq!((count("worker"), count("dns_record")), (2, 2), "{kinds:?}");
    }
}

pub(crate) async fn upgrade(stage: &Stage, run: &Arc<Run>, slug: &str) {
    let [old, new] = VERSIONS;
    let stack = Stack::active(stage, slug).await;
    let before = (stage.live(&stack.platform).await, stage.deployments(&stack.platform).await);
    stage.matrix.arm(run, &stack.platform);
    let asked =
        stage.ask(Method::POST, &format!("{}/upgrade", stack.path), json!({ "version": new.0 })).await;
    asked.expect(202);
    stage.settled(run).await;
    stage.matrix.forces.lift(&stack.platform);
    let after = (stage.live(&stack.platform).await, stage.deployments(&stack.platform).await);
    if run.is_undone() {
        assert_eq!(after, before, "it is as it was");
        stack.assert_runs(old).await;
    } else {
        // Data stays of the feature that is gone.
        assert_eq!(after.0.iter().filter(|one| one.starts_with("d1 ")).count(), 4, "{after:?}");
        stack.assert_runs(new).await;
    }
    stage.assert_agreed(run, &stack.platform).await;
}

pub(crate) async fn delete(stage: &Stage, run: &Arc<Run>, slug: &str) {
    let stack = Stack::active(stage, slug).await;
    stage.matrix.arm(run, &stack.platform);
    let body = json!({ "deleteData": true });
    stage.ask(Method::DELETE, &stack.path, body).await.expect(202);
    stage.settled(run).await;
    stage.matrix.forces.lift(&stack.platform);
    stage.assert_nothing_left(&stack.platform).await;
    stage.assert_agreed(run, &stack.platform).await;
    stage.get(&stack.path).await.expect_error(404, "NOT_FOUND");
}
