//! Sagas that wait for the end of another saga.

use std::{sync::Arc, time::Duration};

use domain::Kind;
use runtime::shutdown::Shutdown;
use saga::{SagaStatus, WaitingFor};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    steps::{Act, Gate},
    world::{STOP, UNDO, World},
};

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(600);

/// A saga that a gate holds in its step `b`, and one that waits for it in its step `a`.
async fn blocked_pair(world: &World, kind: &'static str) -> (Uuid, Arc<Gate>, Uuid) {
    let (first, second) = (world.begin(kind).await, world.begin(UNDO).await);
    let gate = Arc::new(Gate::default());
    world.script.next(first, "b", false, [Act::Gate(Arc::clone(&gate))]);
    world.script.next(second, "a", false, [Act::BlockedBy(first, NEVER)]);
    (first, gate, second)
}

async fn waits(world: &World, id: Uuid) {
    world
        .until(id, |record| {
            record.steps[0].waiting_for == Some(WaitingFor::text("the saga before"))
                && record.saga.lease_until.is_none()
        })
        .await;
}

#[tokio::test]
async fn waiting_saga_continues_when_the_blocking_one_ends() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.poll = NEVER);
    let (first, gate, second) = blocked_pair(&world, UNDO).await;
    let stop = Shutdown::new();
    engine.start(&stop);
    waits(&world, second).await;
    gate.open.notify_one();
    for id in [first, second] {
        let record = world.wait_until_ended(id).await;
        world.assert_completed(&record).await;
    }
    let looks = world.calls(second).await.iter().filter(|call| *call == "run a").count();
    assert_eq!(looks, 2, "once before the other saga ended, and once after");
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn waiting_saga_of_another_process_becomes_due() {
    let world = World::new().await;
    let (engine, other) = (world.engine(|_| {}), world.engine(|_| {}));
    let (first, gate, second) = blocked_pair(&world, UNDO).await;
    gate.open.notify_one();
    world.resume_now(second).await;
    world
        .execute(&format!("UPDATE sagas SET next_run_at = now() + interval '1 day' WHERE id = '{first}'"))
        .await;
    assert!(engine.run_once().await.unwrap());
    waits(&world, second).await;
    world.resume_now(first).await;
    assert!(other.run_once().await.unwrap());
    assert_eq!(world.load(first).await.saga.status, SagaStatus::Completed);
    assert!(engine.run_once().await.unwrap(), "it is due");
    let record = world.load(second).await;
    world.assert_completed(&record).await;
}

#[tokio::test]
async fn every_kind_of_end_wakes_the_waiting_saga() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.poll = NEVER);
    let stop = Shutdown::new();
    engine.start(&stop);
    // The blocking saga gets stuck, is undone or is paused.
    for end in ["stuck", "undone", "paused"] {
        let kind = if end == "stuck" { STOP } else { UNDO };
        let (first, gate, second) = blocked_pair(&world, kind).await;
        if end != "paused" {
            world.script.next(first, "c", false, [Act::Fail(Kind::Unprocessable)]);
        }
        world.wake.notify_one();
        waits(&world, second).await;
        if end == "paused" {
            let c = world.pool.service_conn().await.unwrap();
            assert!(saga::pause(&c, first).await.unwrap());
            drop(c);
            // A caller that pauses a saga also wakes the engine.
            world.wake.notify_one();
        } else {
            gate.open.notify_one();
        }
        let record = world.wait_until_ended(second).await;
        world.assert_completed(&record).await;
    }
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn wait_for_an_ended_saga_is_over_at_once() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let (first, second) = (world.begin(UNDO).await, world.begin(UNDO).await);
    world.settle(&engine, first).await;
    world.script.next(second, "a", false, [Act::BlockedBy(first, NEVER)]);
    let record = world.settle(&engine, second).await;
    world.assert_completed(&record).await;
}

/// Runs the end of one saga and the start of the other's wait in many interleavings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_when_wait_and_end_race() {
    let world = World::new().await;
    let engines = [(); 2].map(|()| world.engine(|setup| setup.settings.poll = Duration::from_millis(10)));
    let stop = Shutdown::new();
    let start = Instant::now();
    let mut pairs = Vec::new();
    for _ in 0..60 {
        let (first, second) = (world.begin(UNDO).await, world.begin(UNDO).await);
        world.script.next(second, "a", false, [Act::BlockedBy(first, NEVER)]);
        pairs.push((first, second));
    }
    engines.iter().for_each(|engine| engine.start(&stop));
    for (first, second) in pairs {
        for id in [first, second] {
            let record = world.wait_until_ended(id).await;
            world.assert_completed(&record).await;
        }
    }
    assert!(start.elapsed() < NEVER);
    stop.begin();
    stop.drained().await;
}
