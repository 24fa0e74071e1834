//! Feature jobs whose steps fail, run twice or are interrupted.

use std::{sync::Arc, time::Duration};

use diesel_async::SimpleAsyncConnection;
use fake_provider::Operation;
use provisioning::providers::ResourceKind;
use saga::{Fault, FaultInjector, StepPhase};
use serde_json::{Value, json};

use crate::{
    jobs::refuse,
    shop::{REMOVAL, STEPS, Shop, broken, new_fault_slot},
    system::{RegistrySystem, System},
};

#[tokio::test]
async fn permanent_failure_of_any_step_is_undone() {
    let (fault_slot, fault_injector) = new_fault_slot();
    let system = RegistrySystem::start().await.provision(Some(fault_injector)).await;
    for (n, step) in STEPS.into_iter().enumerate() {
        for point in [StepPhase::AfterIntent, StepPhase::AfterEffect] {
            let why = format!("{step} {point:?}");
            *fault_slot.lock().unwrap() = Some((step, false, point, broken));
            let shop = Shop::new(&system, &format!("p-{n}-{}", point as u8)).await;
            let job = shop.activate("1.0.0").await;
            let now = shop.when(&["failed"]).await;
            assert!(now["error"].as_str().unwrap().contains("broken on purpose"), "{why}: {now}");
            system.job_in(&job, "ROLLED_BACK").await;
            shop.assert_nothing_left(&why).await;
            // The build fails, even if the last step had reported success or the build had not begun.
            assert_eq!(shop.builds().await, ["failed"], "{why}");
            *fault_slot.lock().unwrap() = None;
            shop.activate("1.0.0").await;
            shop.active("1.0.0").await;
            shop.assert_whole(&why).await;
        }
    }
}

#[tokio::test]
async fn failed_upgrade_leaves_the_old_version() {
    let (fault_slot, fault_injector) = new_fault_slot();
    let system = RegistrySystem::start().await.provision(Some(fault_injector)).await;
    let shop = Shop::new(&system, "acme").await;
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    let (deployed, shown) = (shop.deployment().await, shop.manifest().await);
    for step in STEPS {
        *fault_slot.lock().unwrap() = Some((step, false, StepPhase::AfterEffect, broken));
        let job = shop.activate("2.0.0").await;
        system.job_in(&job, "ROLLED_BACK").await;
        let now = shop.active("1.0.0").await;
        assert!(now["error"].as_str().unwrap().contains("broken on purpose"), "{step}: {now}");
        assert_eq!(
            (shop.deployment().await, shop.manifest().await),
            (deployed.clone(), shown.clone()),
            "{step}"
        );
        shop.assert_whole(step).await;
    }
    *fault_slot.lock().unwrap() = None;
    shop.activate("2.0.0").await;
    let now = shop.active("2.0.0").await;
    assert_eq!(now["error"], Value::Null);
    assert_ne!(shop.deployment().await, deployed);
    // Cancelling the upgrade restores the previous version.
    let job = shop.activate("3.0.0").await;
    shop.active("3.0.0").await;
    system.job_in(&job, "COMPLETED").await;
    system.provisioning.post(&format!("/api/v1/provision/jobs/{job}/cancel"), json!({})).await.expect(200);
    system.job_in(&job, "ROLLED_BACK").await;
    shop.active("2.0.0").await;
    shop.assert_whole("cancelled").await;
}

#[tokio::test]
async fn repeated_steps_create_each_resource_once() {
    let twice: FaultInjector =
        Arc::new(|now| if now.phase == StepPhase::AfterIntent { Fault::RunTwice } else { Fault::None });
    let system = RegistrySystem::start().await.provision(Some(twice)).await;
    let shop = Shop::new(&system, "twice").await;
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    shop.assert_whole("created twice").await;
    assert_eq!(shop.builds().await, ["success"]);
    shop.deactivate(true).await;
    shop.when(&["deactivated"]).await;
    shop.assert_nothing_left("removed twice").await;
    system.provider.follow([refuse(ResourceKind::DnsRecord, Operation::Ensure)]).await.unwrap();
    shop.activate("1.0.0").await;
    shop.when(&["failed"]).await;
    shop.assert_nothing_left("undone twice").await;
}

#[tokio::test]
async fn job_of_a_dead_runner_is_taken_over() {
    let (fault_slot, fault_injector) = new_fault_slot();
    let system = RegistrySystem::start().await.provision(Some(fault_injector)).await;
    let shop = Shop::new(&system, "dies").await;
    for (activation, removal) in STEPS.into_iter().zip(REMOVAL) {
        *fault_slot.lock().unwrap() = Some((activation, false, StepPhase::AfterEffect, || Fault::Crash));
        shop.activate("1.0.0").await;
        shop.active("1.0.0").await;
        shop.assert_whole(activation).await;
        *fault_slot.lock().unwrap() = Some((removal, false, StepPhase::AfterEffect, || Fault::Crash));
        shop.deactivate(true).await;
        shop.when(&["deactivated"]).await;
        shop.assert_nothing_left(removal).await;
    }
}

#[tokio::test]
async fn removal_is_undone_after_failure_and_after_cancellation() {
    let (fault_slot, fault_injector) = new_fault_slot();
    let system = RegistrySystem::start().await.provision(Some(fault_injector)).await;
    let shop = Shop::new(&system, "acme").await;
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    let (deployed, shown) = (shop.deployment().await, shop.manifest().await);
    let newest = async |status: &str| {
        let list = format!("/api/v1/provision/jobs?platformId={}", shop.platform);
        let jobs = system.provisioning.get(&list).await.expect(200);
        assert_eq!(jobs["data"][0]["type"], "DEACTIVATE_FEATURE");
        system.job_in(jobs["data"][0]["id"].as_str().unwrap(), status).await
    };
    for step in REMOVAL {
        *fault_slot.lock().unwrap() = Some((step, false, StepPhase::AfterEffect, broken));
        shop.deactivate(false).await;
        let now = shop.active("1.0.0").await;
        assert!(now["error"].as_str().unwrap().contains("broken on purpose"), "{step}: {now}");
        newest("ROLLED_BACK").await;
        shop.assert_whole(step).await;
        assert_eq!(
            (shop.deployment().await, shop.manifest().await),
            (deployed.clone(), shown.clone()),
            "{step}"
        );
        assert_eq!(shop.builds().await[0], "failed", "{step}");
    }
    *fault_slot.lock().unwrap() = None;
    shop.deactivate(false).await;
    shop.when(&["deactivated"]).await;
    assert_eq!(shop.live().await, ["d1"]);
    let job = newest("COMPLETED").await;
    let path = format!("/api/v1/provision/jobs/{}/cancel", job["id"].as_str().unwrap());
    system.provisioning.post(&path, json!({})).await.expect(200);
    newest("ROLLED_BACK").await;
    shop.active("1.0.0").await;
    shop.assert_whole("cancelled").await;
    assert_eq!((shop.deployment().await, shop.manifest().await), (deployed, shown));
}

#[tokio::test]
async fn activation_cancelled_at_any_time_fails_and_leaves_no_resources() {
    let system = System::start().await;
    for pause in [0, 5, 20, 60, 150] {
        let shop = Shop::new(&system, &format!("p-{pause}")).await;
        let job = shop.activate("1.0.0").await;
        let path = format!("/api/v1/provision/jobs/{job}");
        while system.provisioning.get(&path).await.status == 404 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        system.provisioning.post(&format!("{path}/cancel"), json!({})).await.expect(200);
        system.job_in(&job, "ROLLED_BACK").await;
        let now = shop.when(&["failed"]).await;
        assert!(now["error"].as_str().unwrap().contains("cancelled by operator"), "{now}");
        shop.assert_nothing_left(&pause.to_string()).await;
        assert_eq!(shop.builds().await, ["failed"]);
    }
}

/// A job that can neither continue nor be undone keeps its activation waiting until an operator discards it.
#[tokio::test]
async fn feature_can_be_activated_again_after_its_job_is_discarded() {
    let (fault_slot, fault_injector) = new_fault_slot();
    let system = RegistrySystem::start().await.provision(Some(fault_injector)).await;
    let shop = Shop::new(&system, "stuck").await;
    *fault_slot.lock().unwrap() = Some(("dns", false, StepPhase::AfterEffect, broken));
    system.provider.follow([refuse(ResourceKind::Worker, Operation::Destroy)]).await.unwrap();
    let job = shop.activate("1.0.0").await;
    let mut database = system.provisioning.db.connect().await;
    let path = format!("/api/v1/provision/jobs/{job}");
    while system.provisioning.get(&path).await.body["status"] != "FAILED" {
        // Simulates elapsed time: ends the backoff and uses up all attempts but one.
        let sql = "UPDATE sagas SET next_run_at = now() WHERE status = 'undoing'; \
                   UPDATE saga_steps SET undo_attempts = 19 WHERE undo_attempts BETWEEN 1 AND 18";
        database.batch_execute(sql).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shop.when(&["provisioning"]).await;
    *fault_slot.lock().unwrap() = None;
    system.provider.follow([]).await.unwrap();
    let tried = system.provisioning.post(&format!("{path}/discard?dryRun=true"), json!({})).await;
    tried.expect(200);
    shop.when(&["provisioning"]).await;
    system.provisioning.post(&format!("{path}/discard"), json!({})).await.expect(200);
    let now = shop.when(&["failed"]).await;
    assert!(now["error"].as_str().unwrap().contains("discarded by operator"), "{now}");
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    shop.assert_whole("activated again").await;
}
