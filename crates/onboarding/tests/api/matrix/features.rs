//! Scenarios of the jobs for a feature of a tenant.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::{harness::Harness, run::Run};

const SERVICE: [&str; 3] = ["d1", "dns_record", "worker"];

/// A tenant and its feature `billing`.
struct Shop<'s> {
    harness: &'s Harness,
    platform: String,
    path: String,
}

impl<'s> Shop<'s> {
    async fn new(harness: &'s Harness, slug: &str) -> Self {
        let (platform, tenant) = harness.tenant(slug).await;
        let path = format!("/api/v1/platforms/{platform}/entities/{tenant}");
        Self { harness, platform, path }
    }

    async fn activate(&self) -> Value {
        let body = json!({ "featureId": "billing", "version": "1.0.0", "environment": "prod" });
        self.harness
            .request(Method::POST, &format!("{}/features/activate", self.path), body)
            .await
            .expect(202)
    }

    async fn assert_status(&self, run: &Run, status: &str) {
        let feature = self.harness.get(&format!("{}/features/billing", self.path)).await.expect(200);
        assert_eq!(feature["status"], status, "{feature}");
        let manifest = self.harness.get(&format!("{}/manifest", self.path)).await.expect(200);
        let listed = manifest["features"].as_array().unwrap().len();
        if status == "active" {
            assert_eq!(
                (listed, self.harness.kinds(&self.platform).await),
                (1, SERVICE.map(str::to_owned).to_vec())
            );
        } else {
            assert_eq!(listed, 0);
            self.harness.assert_nothing_left(&self.platform).await;
        }
        self.harness.assert_consistent(run, &self.platform).await;
    }
}

pub(crate) async fn activate(harness: &Harness, run: &Arc<Run>, slug: &str) {
    let shop = Shop::new(harness, slug).await;
    harness.matrix.arm(run, &shop.platform);
    shop.activate().await;
    harness.wait_for_end(run).await;
    harness.matrix.injector.end_outage(&shop.platform);
    shop.assert_status(run, if run.is_undone() { "failed" } else { "active" }).await;
}

pub(crate) async fn deactivate(harness: &Harness, run: &Arc<Run>, slug: &str) {
    let shop = Shop::new(harness, slug).await;
    let job = shop.activate().await;
    harness.wait_until_completed(job["provisionJobId"].as_str().unwrap().parse().unwrap()).await;
    harness.matrix.arm(run, &shop.platform);
    let body = json!({ "featureId": "billing", "environment": "prod", "deleteData": true });
    harness.request(Method::POST, &format!("{}/features/deactivate", shop.path), body).await.expect(200);
    harness.wait_for_end(run).await;
    harness.matrix.injector.end_outage(&shop.platform);
    shop.assert_status(run, if run.is_undone() { "active" } else { "deactivated" }).await;
}
