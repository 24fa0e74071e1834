//! A person has a saga rest, go on, or end as it stands.

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
async fn before_it_began() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    assert!(world.pause(id).await);
    assert!(!world.pause(id).await, "it rests already");
    assert!(!engine.turn().await.unwrap(), "nothing is due");
    assert!(world.told(id).await.saga.paused_at.is_some());
    assert!(world.resume(id).await);
    assert!(!world.resume(id).await, "it goes on already");
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
    assert!(!world.pause(id).await, "it has ended");
}

#[tokio::test]
async fn a_step_under_way_is_brought_to_its_end_first() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let asked = async {
        gate.reached.notified().await;
        assert!(world.pause(id).await);
        gate.open.notify_one();
    };
    tokio::join!(async { assert!(engine.turn().await.unwrap()) }, asked);
    let told = world.told(id).await;
    assert_eq!(told.saga.status, SagaStatus::Running);
    assert_eq!(statuses(&told), [StepStatus::Completed, StepStatus::Completed, StepStatus::Pending]);
    assert!(told.saga.lease_until.is_none(), "nobody holds it");
    assert!(!engine.turn().await.unwrap());
    assert!(world.resume(id).await);
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c"], "nothing was done twice");
}

#[tokio::test]
async fn what_rests_can_be_undone() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.always(id, "b", false, Act::Wait(Duration::from_secs(600)));
    assert!(engine.turn().await.unwrap());
    assert!(world.pause(id).await);
    assert!(!engine.turn().await.unwrap());
    assert!(world.ask_undo(id).await);
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Cancelled).await;
    assert_eq!(told.saga.paused_at, None);
}

#[tokio::test]
async fn asked_for_both_at_once_it_is_undone() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let asked = async {
        gate.reached.notified().await;
        assert!(world.ask_undo(id).await);
        assert!(world.pause(id).await, "its undoing can rest too");
        gate.open.notify_one();
    };
    tokio::join!(async { assert!(engine.turn().await.unwrap()) }, asked);
    assert!(world.told(id).await.saga.paused_at.is_some());
    assert!(world.resume(id).await);
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Cancelled).await;
}

#[tokio::test]
async fn a_dead_letter_is_discarded_as_it_stands() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(STOP).await;
    assert!(!world.discard(id).await, "it is under way");
    world.script.always(id, "b", false, Act::Fail(Kind::Unprocessable));
    let told = world.settle(&engine, id).await;
    assert_eq!(told.saga.status, SagaStatus::Stuck);
    assert!(world.discard(id).await);
    let told = world.told(id).await;
    assert_eq!((told.saga.status, told.saga.cause), (SagaStatus::Undone, Some(Cause::Discarded)));
    let why = told.saga.error.unwrap();
    assert!(why.starts_with("enough; it was stuck: b: "), "{why}");
    assert_eq!(world.effects(id).await, ["a"], "what was done stays");
    assert!(!engine.turn().await.unwrap());
    assert!(!world.discard(id).await && !world.retry(id).await, "it has ended");
}

#[tokio::test]
async fn every_change_is_a_new_revision() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let mut last = world.told(id).await.saga.revision;
    let mut grows = async |what: &str| {
        let now = world.told(id).await.saga.revision;
        assert!(now > last, "{what}: {last}, {now}");
        last = now;
    };
    world.script.next(id, "b", false, [Act::Wait(Duration::from_millis(10))]);
    assert!(engine.turn().await.unwrap());
    grows("a turn").await;
    assert!(world.pause(id).await);
    grows("a pause").await;
    assert!(world.resume(id).await);
    grows("a resumption").await;
    world.settle(&engine, id).await;
    grows("its end").await;
    assert!(world.ask_undo(id).await);
    grows("a wish to have it undone").await;
}
