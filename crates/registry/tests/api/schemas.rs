//! The cost of checking the inputs of stacks.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::Response;

use crate::{
    templates::{Behavior, Templates},
    world::{World, faults},
};

struct Scene {
    world: World,
    path: String,
    tenant: String,
    /// Platform of another tenant.
    other: String,
}

impl Scene {
    /// A registry whose template has the given version.
    async fn with(version: &'static str) -> Self {
        let templates = Templates::start(Behavior::Shop("active", Some(version))).await;
        let mut settings = templates.settings();
        settings["http"] = json!({ "workers": 2 });
        let world = World::start_with(settings).await;
        let (platform, other) = (world.platform("a").await, world.platform("b").await);
        let tenant = world.tenant(&platform, "t").await;
        Self { world, path: format!("/api/v1/platforms/{platform}/stacks?dryRun=true"), tenant, other }
    }

    async fn create(&self, filter: &Value) -> Response {
        let inputs = json!({ "filter": filter });
        let body = json!({ "tenantId": self.tenant, "name": "s", "templateId": "shop", "inputs": inputs });
        self.world.post(&self.path, body).await
    }

    /// Reads the other tenant's platform until `done`, and returns the slowest duration.
    async fn slowest_read(&self, done: impl Future) -> Duration {
        let mut slowest = Duration::ZERO;
        let reads = async {
            loop {
                let started = Instant::now();
                self.world.get(&format!("/api/v1/platforms/{}", self.other)).await.expect(200);
                slowest = slowest.max(started.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! { _ = done => {}, () = reads => {} }
        slowest
    }
}

fn nested(depth: usize, leaf: Value) -> Value {
    (0..depth).fold(leaf, |inner, _| json!({ "child": inner }))
}

/// Resident memory of this process, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn six_deep_invalid_filters_do_not_delay_other_tenants() {
    let scene = Scene::with("6.0.0").await;
    scene.create(&nested(30, json!("leaf"))).await.expect(201);
    let (filter, before, started) = (nested(30, json!(1)), resident(), Instant::now());
    let six = join_all((0..6).map(|_| scene.create(&filter)));
    let slowest = scene
        .slowest_read(async {
            for answer in six.await {
                assert_eq!(faults(answer), ["inputs/filter"]);
            }
        })
        .await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(resident() < before + 64, "{before} MiB, then {} MiB", resident());
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_layers_of_eight_alternatives_are_checked_quickly() {
    let scene = Scene::with("7.0.0").await;
    let started = Instant::now();
    assert_eq!(faults(scene.create(&json!({ "a": 1 })).await), ["inputs/filter"]);
    scene.create(&json!("text")).await.expect(201);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
