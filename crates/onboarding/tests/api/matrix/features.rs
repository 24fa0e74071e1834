//! Jobs for a feature of a tenant.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::{run::Run, stage::Stage};

const SERVICE: [&str; 3] = ["d1", "dns_record", "worker"];

/// A tenant and its feature `billing`.
struct Shop<'s> {
    stage: &'s Stage,
    platform: String,
    path: String,
}

impl<'s> Shop<'s> {
    async fn new(stage: &'s Stage, slug: &str) -> Self {
        let (platform, tenant) = stage.tenant(slug).await;
        let path = format!("/api/v1/platforms/{platform}/entities/{tenant}");
        Self { stage, platform, path }
    }

    async fn activate(&self) -> Value {
        let body = json!({ "featureId": "billing", "version": "1.0.0", "environment": "prod" });
        self.stage.ask(Method::POST, &format!("{}/features/activate", self.path), body).await.expect(202)
    }

    async fn assert_is(&self, run: &Run, status: &str) {
        let now = self.stage.get(&format!("{}/features/billing", self.path)).await.expect(200);
        assert_eq!(now["status"], status, "{now}");
        let shown = self.stage.get(&format!("{}/manifest", self.path)).await.expect(200);
        let shown = shown["features"].as_array().unwrap().len();
        if status == "active" {
            assert_eq!(
                (shown, self.stage.kinds(&self.platform).await),
                (1, SERVICE.map(str::to_owned).to_vec())
            );
        } else {
            assert_eq!(shown, 0);
            self.stage.assert_nothing_left(&self.platform).await;
        }
        self.stage.assert_agreed(run, &self.platform).await;
    }
}

pub(crate) async fn activate(stage: &Stage, run: &Arc<Run>, slug: &str) {
    let shop = Shop::new(stage, slug).await;
    stage.matrix.arm(run, &shop.platform);
    shop.activate().await;
    stage.settled(run).await;
    stage.matrix.forces.lift(&shop.platform);
    shop.assert_is(run, if run.is_undone() { "failed" } else { "active" }).await;
}

pub(crate) async fn deactivate(stage: &Stage, run: &Arc<Run>, slug: &str) {
    let shop = Shop::new(stage, slug).await;
    let job = shop.activate().await;
    stage.completed(job["provisionJobId"].as_str().unwrap().parse().unwrap()).await;
    stage.matrix.arm(run, &shop.platform);
    let body = json!({ "featureId": "billing", "environment": "prod", "deleteData": true });
    stage.ask(Method::POST, &format!("{}/features/deactivate", shop.path), body).await.expect(200);
    stage.settled(run).await;
    stage.matrix.forces.lift(&shop.platform);
    shop.assert_is(run, if run.is_undone() { "active" } else { "deactivated" }).await;
}
