//! Stack jobs whose steps fail, run twice or are interrupted. The manifest always shows one complete version.

use std::{sync::Arc, time::Duration};

use diesel_async::SimpleAsyncConnection;
use fake_provider::Operation;
use provisioning::providers::ResourceKind;
use saga::{Fault, FaultInjector, StepPhase};
use serde_json::{Value, json};

use crate::{
    jobs::refuse,
    shop::{broken, new_fault_slot},
    stacks::{Mall, NEXT, OLD, owned},
};

const STEPS: [&str; 8] = ["begin", "turns", "shared", "databases", "workers", "dns", "switch", "cleanup"];

#[tokio::test]
async fn permanent_failure_of_any_step_is_undone() {
    let (fault_slot, fault_injector) = new_fault_slot();
    let mall = Mall::start(Some(fault_injector)).await;
    for (n, step) in STEPS.into_iter().enumerate() {
        for point in [StepPhase::AfterIntent, StepPhase::AfterEffect] {
            let why = format!("{step} {point:?}");
            *fault_slot.lock().unwrap() = Some((step, false, point, broken));
            let stack = mall.stack(&format!("p-{n}-{}", point as u8)).await;
            let now = stack.settled().await;
            assert_eq!(now["status"], "failed", "{why}: {now}");
            assert!(now["error"].as_str().unwrap().contains("broken on purpose"), "{why}: {now}");
            stack.assert_nothing_left(&why).await;
        }
    }
}

#[tokio::test]
async fn failed_upgrade_leaves_the_old_version() {
    let (fault_slot, fault_injector) = new_fault_slot();
    let mall = Mall::start(Some(fault_injector)).await;
    let stack = mall.stack("acme").await;
    stack.active("1.0.0").await;
    let before = (stack.live().await, stack.deployment("cart").await, stack.deployment("theme").await);
    for step in STEPS {
        *fault_slot.lock().unwrap() = Some((step, false, StepPhase::AfterEffect, broken));
        let job = stack.upgrade(NEXT).await;
        mall.system.job_in(&job, "ROLLED_BACK").await;
        let now = stack.active("1.0.0").await;
        assert!(now["error"].as_str().unwrap().contains("broken on purpose"), "{step}: {now}");
        let after = (stack.live().await, stack.deployment("cart").await, stack.deployment("theme").await);
        assert_eq!((after, stack.shown().await), (before.clone(), owned(&OLD)), "{step}");
        stack.assert_is("1.0.0", step).await;
    }
    *fault_slot.lock().unwrap() = None;
    let job = stack.upgrade(NEXT).await;
    assert_eq!(stack.active(NEXT).await["error"], Value::Null);
    stack.assert_is(NEXT, "in the end").await;
    // Cancelling the upgrade restores the previous version.
    mall.system
        .provisioning
        .post(&format!("/api/v1/provision/jobs/{job}/cancel"), json!({}))
        .await
        .expect(200);
    mall.system.job_in(&job, "ROLLED_BACK").await;
    stack.active("1.0.0").await;
    stack.assert_is("1.0.0", "cancelled").await;
}

#[tokio::test]
async fn repeated_steps_create_each_resource_once() {
    let twice: FaultInjector =
        Arc::new(|now| if now.phase == StepPhase::AfterIntent { Fault::RunTwice } else { Fault::None });
    let mall = Mall::start(Some(twice)).await;
    let stack = mall.stack("twice").await;
    stack.active("1.0.0").await;
    stack.assert_is("1.0.0", "created twice").await;
    let job = stack.upgrade(NEXT).await;
    stack.active(NEXT).await;
    stack.assert_is(NEXT, "upgraded twice").await;
    mall.system
        .provisioning
        .post(&format!("/api/v1/provision/jobs/{job}/cancel"), json!({}))
        .await
        .expect(200);
    mall.system.job_in(&job, "ROLLED_BACK").await;
    stack.assert_is("1.0.0", "undone twice").await;
    stack.delete(true).await;
    assert_eq!(stack.live().await, [""; 0]);
}

#[tokio::test]
async fn job_of_a_dead_runner_is_taken_over() {
    let (fault_slot, fault_injector) = new_fault_slot();
    let mall = Mall::start(Some(fault_injector)).await;
    let stack = mall.stack("dies").await;
    stack.active("1.0.0").await;
    for step in STEPS {
        *fault_slot.lock().unwrap() = Some((step, false, StepPhase::AfterEffect, || Fault::Crash));
        stack.upgrade(NEXT).await;
        stack.active(NEXT).await;
        stack.assert_is(NEXT, step).await;
        *fault_slot.lock().unwrap() = Some((step, false, StepPhase::AfterIntent, || Fault::Crash));
        stack.rollback().await;
        stack.active("1.0.0").await;
        stack.assert_is("1.0.0", step).await;
    }
}

#[tokio::test]
async fn undo_of_a_dead_runner_is_taken_over() {
    let (fault_slot, fault_injector) = new_fault_slot();
    let mall = Mall::start(Some(fault_injector)).await;
    let stack = mall.stack("dies").await;
    stack.active("1.0.0").await;
    for step in STEPS {
        let job = stack.upgrade(NEXT).await;
        stack.active(NEXT).await;
        *fault_slot.lock().unwrap() = Some((step, true, StepPhase::AfterEffect, || Fault::Crash));
        let cancel = format!("/api/v1/provision/jobs/{job}/cancel");
        mall.system.provisioning.post(&cancel, json!({})).await.expect(200);
        mall.system.job_in(&job, "ROLLED_BACK").await;
        stack.active("1.0.0").await;
        stack.assert_is("1.0.0", step).await;
    }
}

/// A job that can neither continue nor be undone keeps its stack waiting until an operator discards it.
#[tokio::test]
async fn stack_can_be_upgraded_again_after_its_job_is_discarded() {
    let (fault_slot, fault_injector) = new_fault_slot();
    let mall = Mall::start(Some(fault_injector)).await;
    let stack = mall.stack("stuck").await;
    stack.active("1.0.0").await;
    *fault_slot.lock().unwrap() = Some(("switch", false, StepPhase::AfterIntent, broken));
    mall.system.provider.follow([refuse(ResourceKind::Worker, Operation::Destroy)]).await.unwrap();
    let job = stack.upgrade(NEXT).await;
    let mut database = mall.system.provisioning.db.connect().await;
    let path = format!("/api/v1/provision/jobs/{job}");
    while mall.system.provisioning.get(&path).await.body["status"] != "FAILED" {
        // Simulates elapsed time: ends the backoff and uses up all attempts but one.
        let sql = "UPDATE sagas SET next_run_at = now() WHERE status = 'undoing'; \
                   UPDATE saga_steps SET undo_attempts = 19 WHERE undo_attempts BETWEEN 1 AND 18";
        database.batch_execute(sql).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        (stack.get().await["status"].clone(), stack.shown().await),
        (json!("provisioning"), owned(&OLD))
    );
    *fault_slot.lock().unwrap() = None;
    mall.system.provider.follow([]).await.unwrap();
    mall.system.provisioning.post(&format!("{path}/discard"), json!({})).await.expect(200);
    let now = stack.active("1.0.0").await;
    assert!(now["error"].as_str().unwrap().contains("discarded by operator"), "{now}");
    stack.upgrade(NEXT).await;
    stack.active(NEXT).await;
    stack.assert_is(NEXT, "upgraded again").await;
}
