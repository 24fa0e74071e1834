//! Jobs over HTTP with a real registry and a scripted provider.

use std::time::Duration;

use domain::job::JobType;
use fake_provider::{Action, Fault, Operation, Rule, Stage};
use provisioning::providers::ResourceKind;
use rpc::{
    PeerCall,
    provisioning::{JobStatus, provisioning_client::ProvisioningClient},
};
use serde_json::json;

use crate::system::System;

pub(crate) fn refuse(kind: ResourceKind, operation: Operation) -> Rule {
    Rule::new(Action::Fail(Fault::Permanent("quota of the account is used up".to_owned())))
        .on(operation)
        .kind(kind)
}

#[tokio::test]
async fn platform_is_provisioned_and_deprovisioned() {
    let system = System::start().await;
    let platform = system.platform("acme").await;
    let job = system.job_in(&system.provision(&platform).await, "COMPLETED").await;
    assert_eq!(job["steps"].as_array().unwrap().len(), 4);
    assert_eq!(system.resources(&platform).await.len(), 2);
    assert_eq!(system.provider.live().await.unwrap().len(), 5, "d1, worker, secret, two host names");
    let secrets =
        system.resources(&platform).await.into_iter().find(|one| one["resourceType"] == "worker").unwrap();
    let path = format!("/api/v1/platforms/{platform}/resources/{}/secrets", secrets["id"].as_str().unwrap());
    let secrets = system.registry.get(&path).await.expect(200);
    assert_eq!(
        (&secrets["data"][0]["secretName"], &secrets["data"][0]["status"]),
        (&json!("AUTH_SECRET"), &json!("set"))
    );

    // Deletion queues the job through the outbox of the registry.
    system.registry.post(&format!("/api/v1/platforms/{platform}/suspend"), json!({})).await.expect(200);
    system.registry.post(&format!("/api/v1/platforms/{platform}/delete"), json!({})).await.expect(200);
    let list = format!("/api/v1/provision/jobs?platformId={platform}&status=COMPLETED");
    for _ in 0..1500 {
        if system.provisioning.get(&list).await.expect(200)["pagination"]["total"] == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let live = system.provider.live().await.unwrap();
    assert!(live.is_empty(), "{live:?}");
}

/// More jobs wait for a hanging operation of the provider than can run concurrently. Other jobs must still make
/// progress.
#[tokio::test]
async fn hanging_provider_operation_does_not_block_other_jobs() {
    let system = System::start_with(json!({ "engine": { "concurrency": 2 } })).await;
    let unaffected = system.platform("unaffected").await;
    system.job_in(&system.provision(&unaffected).await, "COMPLETED").await;
    let hangs = Rule::new(Action::Hang { stage: Stage::BeforeEffect, duration: None });
    system.provider.follow([hangs.on(Operation::Ensure).kind(ResourceKind::D1)]).await.unwrap();
    let mut stalled = Vec::new();
    for n in 0..6 {
        stalled.push(system.provision(&system.platform(&format!("stalled-{n}")).await).await);
    }
    for id in &stalled[..2] {
        system.job_in(id, "RUNNING").await;
    }
    let path = "/api/v1/provision/platform/deprovision";
    let queued = system.provisioning.post(path, json!({ "platformId": unaffected })).await.expect(202);
    system.job_in(queued["jobId"].as_str().unwrap(), "COMPLETED").await;
    for id in &stalled {
        let job = system.job(id).await;
        assert!(job["status"] == "RUNNING" || job["status"] == "PENDING", "{job}");
    }
    system.provider.follow([]).await.unwrap();
    for id in &stalled {
        system.job_in(id, "COMPLETED").await;
    }
    assert_eq!(system.provider.duplicates().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn job_rejected_by_the_provider_is_undone_with_its_error() {
    let system = System::start().await;
    system.provider.follow([refuse(ResourceKind::DnsRecord, Operation::Ensure)]).await.unwrap();
    let platform = system.platform("refused").await;
    let job = system.job_in(&system.provision(&platform).await, "ROLLED_BACK").await;
    assert!(job["error"].as_str().unwrap().contains("quota of the account is used up"), "{job}");
    assert!(system.resources(&platform).await.is_empty());
    assert!(system.provider.live().await.unwrap().is_empty());
    // The job cannot be cancelled or retried any more.
    let path = format!("/api/v1/provision/jobs/{}", job["id"].as_str().unwrap());
    system
        .provisioning
        .post(&format!("{path}/retry"), json!({}))
        .await
        .expect_error(409, "INVALID_TRANSITION");
    system
        .provisioning
        .post(&format!("{path}/cancel"), json!({}))
        .await
        .expect_error(409, "INVALID_TRANSITION");
}

#[tokio::test]
async fn stopped_deprovisioning_continues_after_retry() {
    let system = System::start().await;
    let platform = system.platform("stuck").await;
    system.job_in(&system.provision(&platform).await, "COMPLETED").await;
    system.provider.follow([refuse(ResourceKind::D1, Operation::Destroy)]).await.unwrap();
    let body = json!({ "platformId": platform });
    let queued = system.provisioning.post("/api/v1/provision/platform/deprovision", body).await.expect(202);
    let id = queued["jobId"].as_str().unwrap();
    let job = system.job_in(id, "FAILED").await;
    assert!(job["error"].as_str().unwrap().contains("quota of the account"), "{job}");
    system.provider.follow([]).await.unwrap();
    system.provisioning.post(&format!("/api/v1/provision/jobs/{id}/retry"), json!({})).await.expect(200);
    system.job_in(id, "COMPLETED").await;
    assert!(system.provider.live().await.unwrap().is_empty());
}

#[tokio::test]
async fn completed_job_is_undone_when_cancelled() {
    let system = System::start().await;
    let platform = system.platform("undone").await;
    let id = system.provision(&platform).await;
    system.job_in(&id, "COMPLETED").await;
    system.provisioning.post(&format!("/api/v1/provision/jobs/{id}/cancel"), json!({})).await.expect(200);
    system.job_in(&id, "ROLLED_BACK").await;
    assert!(system.provider.live().await.unwrap().is_empty());
    assert!(system.resources(&platform).await.is_empty());
}

#[tokio::test]
async fn job_cancelled_before_it_is_recorded_is_listed_and_counted() {
    let system = System::start().await;
    let platform = system.platform("late").await;
    let (service, id) = (&system.provisioning, domain::id::uuid_v7().to_string());
    for _ in 0..2 {
        let message = rpc::provisioning::CancelJobRequest {
            job_id: id.clone(),
            r#type: rpc::enum_number(JobType::ProvisionPlatform),
            platform_id: platform.clone(),
            reason: "no longer wanted".to_owned(),
        };
        let peer = service.peer("onboarding");
        let request = peer.request(&service.ctx("onboarding"), PeerCall::default(), message).unwrap();
        let response =
            peer.unpack(ProvisioningClient::new(peer.channel()).cancel_job(request).await).unwrap();
        assert_eq!(response.job.unwrap().status(), JobStatus::RolledBack);
    }
    let list = service.get("/api/v1/provision/jobs").await.expect(200);
    assert_eq!((&list["data"][0]["id"], &list["pagination"]["total"]), (&json!(id), &json!(1)));
}

#[tokio::test]
async fn invalid_requests_are_rejected() {
    let system = System::start().await;
    let details = system.provisioning.post("/api/v1/provision/platform", json!({ "planTier": "gold" })).await;
    let details = details.expect_error(400, "VALIDATION_ERROR");
    let paths: Vec<_> =
        details["fields"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["billingEmail", "planTier", "platformId"], "{details}");
    system.provisioning.get("/api/v1/provision/jobs/none").await.expect_error(404, "NOT_FOUND");
    let missing = "/api/v1/provision/jobs/01890a5d-ac96-774b-bcce-b302099a8057";
    system.provisioning.get(missing).await.expect_error(404, "NOT_FOUND");
    system.provisioning.get("/api/v1/provision/jobs?status=LOST").await.expect_error(400, "VALIDATION_ERROR");
}
