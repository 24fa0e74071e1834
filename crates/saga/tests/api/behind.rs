//! Sagas that wait for the end of another.

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

/// Longer than any test has patience.
const NEVER: Duration = Duration::from_secs(600);

/// A saga whose step `b` stands at a gate, and one that waits for it in its step `a`.
async fn one_behind_the_other(world: &World, kind: &'static str) -> (Uuid, Arc<Gate>, Uuid) {
    let (first, second) = (world.begin(kind).await, world.begin(UNDO).await);
    let gate = Arc::new(Gate::default());
    world.script.next(first, "b", false, [Act::Gate(Arc::clone(&gate))]);
    world.script.next(second, "a", false, [Act::Behind(first, NEVER)]);
    (first, gate, second)
}

async fn waits(world: &World, id: Uuid) {
    world
        .until(id, |told| {
            told.steps[0].waiting_for == Some(WaitingFor::text("the saga before"))
                && told.saga.lease_until.is_none()
        })
        .await;
}

#[tokio::test]
async fn a_saga_goes_on_at_once_when_the_one_before_it_ends() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.poll = NEVER);
    let (first, gate, second) = one_behind_the_other(&world, UNDO).await;
    let stop = Shutdown::new();
    engine.start(&stop);
    waits(&world, second).await;
    gate.open.notify_one();
    for id in [first, second] {
        let told = world.at_rest(id).await;
        world.assert_completed(&told).await;
    }
    let looks = world.calls(second).await.iter().filter(|call| *call == "run a").count();
    assert_eq!(looks, 2, "it looked once before the other ended, and once after");
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn a_saga_of_another_process_is_due_when_the_one_before_it_ends() {
    let world = World::new().await;
    let (engine, other) = (world.engine(|_| {}), world.engine(|_| {}));
    let (first, gate, second) = one_behind_the_other(&world, UNDO).await;
    gate.open.notify_one();
    world.resume_now(second).await;
    world
        .execute(&format!("UPDATE sagas SET next_run_at = now() + interval '1 day' WHERE id = '{first}'"))
        .await;
    assert!(engine.turn().await.unwrap());
    waits(&world, second).await;
    world.resume_now(first).await;
    assert!(other.turn().await.unwrap());
    assert_eq!(world.told(first).await.saga.status, SagaStatus::Completed);
    assert!(engine.turn().await.unwrap(), "it is due");
    let told = world.told(second).await;
    world.assert_completed(&told).await;
}

#[tokio::test]
async fn it_is_woken_however_the_one_before_it_ends() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.poll = NEVER);
    let stop = Shutdown::new();
    engine.start(&stop);
    // It is stuck, undone, or paused by a person.
    for end in ["stuck", "undone", "paused"] {
        let kind = if end == "stuck" { STOP } else { UNDO };
        let (first, gate, second) = one_behind_the_other(&world, kind).await;
        if end != "paused" {
            world.script.next(first, "c", false, [Act::Fail(Kind::Unprocessable)]);
        }
        world.wake.notify_one();
        waits(&world, second).await;
        if end == "paused" {
            let c = world.pool.service_conn().await.unwrap();
            assert!(saga::pause(&c, first).await.unwrap());
            drop(c);
            // Those who pause a saga wake the engine as well.
            world.wake.notify_one();
        } else {
            gate.open.notify_one();
        }
        let told = world.at_rest(second).await;
        world.assert_completed(&told).await;
    }
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn a_saga_that_waits_for_one_that_has_ended_is_due_at_once() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let (first, second) = (world.begin(UNDO).await, world.begin(UNDO).await);
    world.settle(&engine, first).await;
    world.script.next(second, "a", false, [Act::Behind(first, NEVER)]);
    let told = world.settle(&engine, second).await;
    world.assert_completed(&told).await;
}

/// The end of the one and the beginning of the wait meet in every order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_is_lost_when_the_wait_begins_while_the_other_ends() {
    let world = World::new().await;
    let engines = [(); 2].map(|()| world.engine(|setup| setup.settings.poll = Duration::from_millis(10)));
    let stop = Shutdown::new();
    let begun = Instant::now();
    let mut pairs = Vec::new();
    for _ in 0..60 {
        let (first, second) = (world.begin(UNDO).await, world.begin(UNDO).await);
        world.script.next(second, "a", false, [Act::Behind(first, NEVER)]);
        pairs.push((first, second));
    }
    engines.iter().for_each(|engine| engine.start(&stop));
    for (first, second) in pairs {
        for id in [first, second] {
            let told = world.at_rest(id).await;
            world.assert_completed(&told).await;
        }
    }
    assert!(begun.elapsed() < NEVER);
    stop.begin();
    stop.drained().await;
}
