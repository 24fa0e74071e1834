//! Feature jobs from the request at the registry to the objects of the provider and back.

use std::time::Duration;

use fake_provider::{Action, Calls, Operation, Rule, Stage};
use futures_util::future::join_all;
use provisioning::providers::ResourceKind;
use serde_json::{Value, json};

use crate::{
    shop::{STEPS, Shop},
    system::{RegistrySystem, System},
};

#[tokio::test]
async fn feature_requested_during_an_outage_is_activated_and_deactivated() {
    let registered = RegistrySystem::start().await;
    let body = json!({ "name": "Acme", "slug": "acme" });
    let platform = registered.registry.post("/api/v1/platforms", body).await.expect(201);
    let platform = platform["id"].as_str().unwrap();
    let body = json!({ "name": "Tenant", "slug": "first", "type": "tenant" });
    let path = format!("/api/v1/platforms/{platform}/entities");
    let entity = registered.registry.post(&path, body).await.expect(201)["id"].as_str().unwrap().to_owned();
    let body = json!({ "featureId": "billing", "version": "1.0.0", "environment": "prod" });
    let activation =
        registered.registry.post(&format!("{path}/{entity}/features/activate"), body).await.expect(202);
    assert_eq!(activation["status"], "pending");

    let system = registered.provision(None).await;
    let shop = Shop { system: &system, platform: platform.to_owned(), entity };
    shop.active("1.0.0").await;
    shop.assert_whole("at first").await;
    let url = format!("https://billing.svc.default.{platform}.nno.localhost");
    let shown = json!([{ "id": "billing", "version": "1.0.0", "package": "@neutrino-io/feature-billing",
        "serviceUrl": url, "status": "active" }]);
    assert_eq!(shop.manifest().await, shown);
    let job = system.job_in(activation["provisionJobId"].as_str().unwrap(), "COMPLETED").await;
    let steps: Vec<_> = job["steps"].as_array().unwrap().iter().map(|step| step["name"].clone()).collect();
    assert_eq!((&job["type"], json!(steps)), (&json!("ACTIVATE_FEATURE"), json!(STEPS)));
    assert_eq!(shop.builds().await, ["success"]);

    shop.deactivate(false).await;
    shop.when(&["deactivated"]).await;
    assert_eq!((shop.live().await, shop.hosts().await), (vec!["d1".to_owned()], 0), "its data is kept");
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    shop.assert_whole("again").await;
    let recreated = system.provider.recreated().await.unwrap();
    assert!(
        recreated.iter().all(|identity| !identity.starts_with("d1/")),
        "the data was recreated: {recreated:?}"
    );

    shop.deactivate(true).await;
    shop.when(&["deactivated"]).await;
    shop.assert_nothing_left("at last").await;
    assert_eq!(shop.builds().await, ["success"; 4]);
}

#[tokio::test]
async fn newer_request_waits_for_the_older_one_and_wins() {
    let system = System::start().await;
    let shop = Shop::new(&system, "acme").await;
    let slow = Action::Hang { stage: Stage::BeforeEffect, duration: Some(Duration::from_millis(700)) };
    let rule = Rule::new(slow).on(Operation::Ensure).kind(ResourceKind::Worker).calls(Calls::Nth(1));
    system.provider.follow([rule]).await.unwrap();
    let old = shop.activate("1.0.0").await;
    shop.when(&["provisioning"]).await;
    let new = shop.activate("2.0.0").await;
    let waiting = async {
        for _ in 0..500 {
            let job = system.provisioning.get(&format!("/api/v1/provision/jobs/{new}")).await;
            let waits = format!("job {old}, which works on the same feature");
            if job.status == 200 && job.body["steps"][0]["waitingFor"] == waits {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the newer job did not wait")
    };
    waiting.await;
    system.job_in(&new, "COMPLETED").await;
    system.job_in(&old, "COMPLETED").await;
    shop.active("2.0.0").await;
    shop.assert_whole("upgraded").await;
    assert_eq!(shop.manifest().await[0]["version"], "2.0.0");
    assert_eq!(shop.builds().await, ["success"; 2]);
}

#[tokio::test]
async fn entities_share_a_service_until_the_last_one_deactivates_it() {
    let system = System::start().await;
    let first = Shop::new(&system, "acme").await;
    let others = join_all((0..5).map(|n| {
        let slug = format!("t-{n}");
        let (system, platform) = (&system, &first.platform);
        async move { Shop::in_platform(system, platform, &slug).await }
    }))
    .await;
    let shops: Vec<&Shop<'_>> = std::iter::once(&first).chain(&others).collect();
    join_all(shops.iter().map(|shop| shop.activate("1.0.0"))).await;
    join_all(shops.iter().map(|shop| shop.active("1.0.0"))).await;
    first.assert_whole("shared").await;
    let deployed = first.deployment().await;
    first.activate("2.0.0").await;
    first.active("2.0.0").await;
    let upgraded = first.deployment().await;
    assert_ne!(upgraded, deployed);
    assert_eq!(others[0].manifest().await[0]["version"], "1.0.0");
    first.deactivate(true).await;
    first.when(&["deactivated"]).await;
    first.assert_whole("the others run it, and their data is there").await;
    assert_eq!(first.deployment().await, deployed, "the remaining entities use the old version");
    join_all(others.iter().map(|shop| shop.deactivate(true))).await;
    join_all(others.iter().map(|shop| shop.when(&["deactivated"]))).await;
    first.assert_nothing_left("all deactivated it").await;
}

#[tokio::test]
async fn operator_can_queue_feature_jobs_and_gets_their_errors() {
    let system = System::start().await;
    let shop = Shop::new(&system, "acme").await;
    let request = json!({ "platformId": shop.platform, "entityId": shop.entity, "featureId": "billing",
        "featureVersion": "1.0.0", "environment": "prod" });
    let queue = async |what: &str, body: Value| {
        let path = format!("/api/v1/provision/feature/{what}");
        let queued = system.provisioning.post(&path, body).await.expect(202);
        assert_eq!(queued["status"], "QUEUED");
        queued["jobId"].as_str().unwrap().to_owned()
    };
    system.job_in(&queue("activate", request.clone()).await, "COMPLETED").await;
    shop.active("1.0.0").await;
    shop.assert_whole("by the operator").await;
    let mut removal = request.clone();
    removal["deleteData"] = json!(true);
    system.job_in(&queue("deactivate", removal.clone()).await, "COMPLETED").await;
    shop.when(&["deactivated"]).await;
    shop.assert_nothing_left("by the operator").await;
    // The feature is not active, and the entity does not exist.
    let job = system.job_in(&queue("deactivate", removal).await, "ROLLED_BACK").await;
    assert!(job["error"].as_str().unwrap().contains("INVALID_TRANSITION"), "{job}");
    let mut unknown = request.clone();
    unknown["entityId"] = json!("aaaaaaaaaa");
    let job = system.job_in(&queue("activate", unknown).await, "ROLLED_BACK").await;
    assert!(job["error"].as_str().unwrap().contains("NOT_FOUND"), "{job}");

    let bad = json!({ "featureId": "A", "featureVersion": "1.0.0", "environment": "moon" });
    let response = system.provisioning.post("/api/v1/provision/feature/activate", bad).await;
    let details = response.expect_error(400, "VALIDATION_ERROR");
    let mut paths: Vec<_> =
        details["fields"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths, ["entityId", "environment", "featureId", "platformId"]);
}

#[tokio::test]
async fn removal_of_a_platform_removes_its_features() {
    let system = System::start().await;
    let shop = Shop::new(&system, "acme").await;
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    let path = format!("/api/v1/platforms/{}", shop.platform);
    system.registry.post(&format!("{path}/suspend"), json!({})).await.expect(200);
    system.registry.post(&format!("{path}/delete"), json!({})).await.expect(200);
    for _ in 0..1500 {
        if shop.live().await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left: {:?}", shop.live().await)
}
