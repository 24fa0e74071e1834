//! Pausing, resuming and discarding sagas.

use std::{sync::Arc, time::Duration};

use domain::Kind;
use saga::{Cause, SagaStatus, StepStatus};
use uuid::Uuid;

use crate::{
    steps::{Act, Gate},
    world::{STOP, UNDO, World, statuses},
};

impl World {
    async fn pause(&self, id: Uuid) -> bool {
        saga::pause(&self.pool.service_conn().await.unwrap(), id).await.unwrap()
    }

    async fn resume(&self, id: Uuid) -> bool {
        saga::resume(&self.pool.service_conn().await.unwrap(), id).await.unwrap()
    }

    async fn discard(&self, id: Uuid) -> bool {
        saga::discard(&self.pool.service_conn().await.unwrap(), id, "enough").await.unwrap()
    }
}

#[tokio::test]
async fn paused_saga_does_not_start_until_resumed() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    assert!(world.pause(id).await);
    assert!(!world.pause(id).await, "it is paused already");
    assert!(!engine.run_once().await.unwrap(), "nothing is due");
    assert!(world.load(id).await.saga.paused_at.is_some());
    assert!(world.resume(id).await);
    assert!(!world.resume(id).await, "it is resumed already");
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
    assert!(!world.pause(id).await, "it has ended");
}

#[tokio::test]
async fn pause_lets_the_running_step_finish() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let request = async {
        gate.reached.notified().await;
        assert!(world.pause(id).await);
        gate.open.notify_one();
    };
    tokio::join!(async { assert!(engine.run_once().await.unwrap()) }, request);
    let record = world.load(id).await;
    assert_eq!(record.saga.status, SagaStatus::Running);
    assert_eq!(statuses(&record), [StepStatus::Completed, StepStatus::Completed, StepStatus::Pending]);
    assert!(record.saga.lease_until.is_none(), "no runner holds it");
    assert!(!engine.run_once().await.unwrap());
    assert!(world.resume(id).await);
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c"], "no step ran twice");
}

#[tokio::test]
async fn paused_saga_can_be_undone() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.always(id, "b", false, Act::Wait(Duration::from_secs(600)));
    assert!(engine.run_once().await.unwrap());
    assert!(world.pause(id).await);
    assert!(!engine.run_once().await.unwrap());
    assert!(world.request_undo(id).await);
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Cancelled).await;
    assert_eq!(record.saga.paused_at, None);
}

#[tokio::test]
async fn undo_wins_over_a_pause_requested_at_the_same_time() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let request = async {
        gate.reached.notified().await;
        assert!(world.request_undo(id).await);
        assert!(world.pause(id).await, "an undo can be paused too");
        gate.open.notify_one();
    };
    tokio::join!(async { assert!(engine.run_once().await.unwrap()) }, request);
    assert!(world.load(id).await.saga.paused_at.is_some());
    assert!(world.resume(id).await);
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Cancelled).await;
}

#[tokio::test]
async fn discarding_a_stuck_saga_keeps_its_effects() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(STOP).await;
    assert!(!world.discard(id).await, "it is in progress");
    world.script.always(id, "b", false, Act::Fail(Kind::Unprocessable));
    let record = world.settle(&engine, id).await;
    assert_eq!(record.saga.status, SagaStatus::Stuck);
    assert!(world.discard(id).await);
    let record = world.load(id).await;
    assert_eq!((record.saga.status, record.saga.cause), (SagaStatus::Undone, Some(Cause::Discarded)));
    let why = record.saga.error.unwrap();
    assert!(why.starts_with("enough; it was stuck: b: "), "{why}");
    assert_eq!(world.effects(id).await, ["a"], "effects stay");
    assert!(!engine.run_once().await.unwrap());
    assert!(!world.discard(id).await && !world.retry(id).await, "it has ended");
}

#[tokio::test]
async fn every_change_increases_the_revision() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let mut last = world.load(id).await.saga.revision;
    let mut assert_increased = async |what: &str| {
        let now = world.load(id).await.saga.revision;
        assert!(now > last, "{what}: {last}, {now}");
        last = now;
    };
    world.script.next(id, "b", false, [Act::Wait(Duration::from_millis(10))]);
    assert!(engine.run_once().await.unwrap());
    assert_increased("a run").await;
    assert!(world.pause(id).await);
    assert_increased("a pause").await;
    assert!(world.resume(id).await);
    assert_increased("a resume").await;
    world.settle(&engine, id).await;
    assert_increased("its end").await;
    assert!(world.request_undo(id).await);
    assert_increased("an undo request").await;
}
