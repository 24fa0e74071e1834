//! Steps of which none needs the other: b and c, after a.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::Kind;
use saga::{Cause, Engine, OnFailure, SagaStatus, StepStatus};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    steps::{Act, App, Gate, POLICY, fan_out},
    world::{World, statuses},
};

const KIND: &str = "fan-out";

async fn begun(on_failure: OnFailure) -> (World, Engine<App>, Uuid) {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.definitions = vec![fan_out(KIND, on_failure, POLICY)]);
    let id = world.begin(KIND).await;
    (world, engine, id)
}

/// Has each of the steps stand at a gate of its own.
fn gates<const N: usize>(world: &World, id: Uuid, undo: bool, steps: [&'static str; N]) -> [Arc<Gate>; N] {
    steps.map(|step| {
        let gate = Arc::new(Gate::default());
        world.script.next(id, step, undo, [Act::Gate(Arc::clone(&gate))]);
        gate
    })
}

#[tokio::test]
async fn they_run_side_by_side_and_are_undone_so() {
    let (world, engine, id) = begun(OnFailure::Undo).await;
    for undo in [false, true] {
        let [b, c] = gates(&world, id, undo, ["b", "c"]);
        let both = async {
            b.reached.notified().await;
            c.reached.notified().await;
            let expected = if undo { StepStatus::Completed } else { StepStatus::InProgress };
            let told = world.told(id).await;
            assert_eq!(statuses(&told), [StepStatus::Completed, expected, expected]);
            c.open.notify_one();
            b.open.notify_one();
        };
        tokio::join!(async { assert!(engine.turn().await.unwrap()) }, both);
        let told = world.told(id).await;
        if undo {
            world.assert_undone(&told, Cause::Cancelled).await;
        } else {
            world.assert_completed(&told).await;
            assert_eq!(world.script.most_under_way.load(Ordering::SeqCst), 2);
            assert!(world.ask_undo(id).await);
        }
    }
    let calls = world.calls(id).await;
    assert_eq!((calls.first().unwrap().as_str(), calls.last().unwrap().as_str()), ("run a", "undo a"));
    assert_eq!(calls.len(), 6, "nothing was done twice: {calls:?}");
}

/// What one waits for, or is tried again for, does not hold up the other, nor is it forgotten for it.
#[tokio::test]
async fn one_that_waits_is_asked_again_in_time() {
    let (world, engine, id) = begun(OnFailure::Undo).await;
    world.script.next(id, "b", false, (0..3).map(|_| Act::Wait(Duration::from_millis(30))));
    world.script.next(id, "b", false, [Act::Fail(Kind::Upstream)]);
    let [c] = gates(&world, id, false, ["c"]);
    let asked = async {
        world.until(id, |told| told.steps[1].status == StepStatus::Completed).await;
        assert_eq!(world.told(id).await.steps[2].status, StepStatus::InProgress);
        c.open.notify_one();
    };
    tokio::join!(async { assert!(engine.turn().await.unwrap()) }, asked);
    world.assert_completed(&world.told(id).await).await;
    let calls = world.calls(id).await;
    assert_eq!(calls.iter().filter(|call| *call == "run b").count(), 5, "{calls:?}");
}

/// Nothing is held on to for what waits long; the one that is due first is the next, and the other keeps its pause.
#[tokio::test]
async fn both_wait_and_the_saga_is_let_go_of() {
    let (world, engine, id) = begun(OnFailure::Undo).await;
    world.script.next(id, "b", false, [Act::Wait(Duration::from_secs(600))]);
    world.script.next(
        id,
        "c",
        false,
        [Act::Wait(Duration::from_secs(60)), Act::Wait(Duration::from_secs(61))],
    );
    assert!(engine.turn().await.unwrap());
    let told = world.told(id).await;
    assert!(told.saga.lease_until.is_none());
    let pause = (told.saga.next_run_at - told.saga.updated_at).num_seconds();
    assert!((55..=60).contains(&pause), "{pause} s until the first is due");
    assert!(world.resume_now(id).await);
    assert!(engine.turn().await.unwrap());
    assert_eq!(world.calls(id).await.len(), 4, "a, both, and the first that was due");
    assert_eq!(world.calls(id).await[3], "run c");
}

#[tokio::test]
async fn one_that_fails_waits_for_the_other_before_both_are_undone() {
    let (world, engine, id) = begun(OnFailure::Undo).await;
    world.script.next(id, "b", false, [Act::FailAfter(Kind::Unprocessable)]);
    let [c] = gates(&world, id, false, ["c"]);
    let failed = async {
        c.reached.notified().await;
        world.until(id, |told| told.steps[1].status == StepStatus::Failed).await;
        // The saga is read before its steps: only now is its status from after the failure.
        let told = world.told(id).await;
        assert_eq!(told.saga.status, SagaStatus::Undoing, "whoever takes over does not go on");
        assert_eq!(world.calls(id).await.len(), 3, "nothing is undone while a step is under way");
        c.open.notify_one();
    };
    tokio::join!(async { assert!(engine.turn().await.unwrap()) }, failed);
    world.assert_undone(&world.told(id).await, Cause::Failed).await;
}

#[tokio::test]
async fn one_that_fails_for_a_person_leaves_the_other_done() {
    let (world, engine, id) = begun(OnFailure::Stop).await;
    world.script.next(id, "b", false, [Act::Fail(Kind::Unprocessable)]);
    let [c] = gates(&world, id, false, ["c"]);
    let failed = async {
        world.until(id, |told| told.steps[1].status == StepStatus::Failed).await;
        c.open.notify_one();
    };
    tokio::join!(async { assert!(engine.turn().await.unwrap()) }, failed);
    let told = world.told(id).await;
    assert_eq!(told.saga.status, SagaStatus::Stuck);
    assert_eq!(statuses(&told), [StepStatus::Completed, StepStatus::Failed, StepStatus::Completed]);
    assert!(world.retry(id).await);
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
    assert_eq!(world.calls(id).await.iter().filter(|call| *call == "run c").count(), 1);
}

/// A deadline is kept also while one step waits and the other is under way.
#[tokio::test]
async fn the_deadline_holds_for_both() {
    let (world, engine, _) = begun(OnFailure::Undo).await;
    let id = world.begin_until(KIND, runtime::clock::now() + chrono::Duration::milliseconds(300)).await;
    world.script.next(id, "b", false, [Act::Wait(Duration::from_secs(600))]);
    world.script.next(id, "c", false, [Act::Sleep(Duration::from_millis(100))]);
    let begun = Instant::now();
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Expired).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
