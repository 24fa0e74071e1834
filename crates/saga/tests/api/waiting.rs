//! Steps that are under way elsewhere, deadlines, and when the engine looks again.

use std::time::Duration;

use chrono::TimeDelta;
use domain::Kind;
use runtime::{clock, shutdown::Shutdown};
use saga::{Cause, SagaStatus, StepStatus, WaitingFor};
use tokio::time::Instant;

use crate::{
    steps::Act,
    world::{UNDO, World, attempts},
};

/// Longer than any test has patience.
const NEVER: Duration = Duration::from_secs(600);

#[tokio::test]
async fn what_is_waited_for_is_seen_and_asking_again_is_no_try() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "b", false, [Act::Fail(Kind::Upstream), Act::Wait(NEVER)]);
    world.script.next(id, "b", false, [const { Act::Wait(Duration::from_millis(20)) }; 3]);
    let told = {
        assert!(engine.turn().await.unwrap());
        world.until(id, |told| told.saga.next_run_at <= clock::now()).await;
        assert!(engine.turn().await.unwrap());
        world.told(id).await
    };
    let row = &told.steps[1];
    assert_eq!(
        (told.saga.status, told.saga.lease_until),
        (SagaStatus::Running, None),
        "it is free meanwhile"
    );
    assert_eq!((row.status, row.attempts), (StepStatus::InProgress, 2));
    assert_eq!((&row.waiting_for, row.error.as_deref()), (&Some(WaitingFor::text("the other side")), None));
    let pause = row.next_attempt_at.unwrap() - clock::now();
    assert!(pause > TimeDelta::seconds(590) && pause <= TimeDelta::seconds(600), "{pause}");
    assert!(!engine.turn().await.unwrap(), "it is not due");

    world.execute(&format!("UPDATE sagas SET next_run_at = now() WHERE id = '{id}'")).await;
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1, 2, 1]);
    assert_eq!(world.calls(id).await.iter().filter(|call| *call == "run b").count(), 6);
}

#[tokio::test]
async fn a_deadline_that_passes_while_waiting_undoes() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let deadline = clock::now() + TimeDelta::seconds(1);
    let id = world.begin_until(UNDO, deadline).await;
    world.script.always(id, "b", false, Act::Wait(NEVER));
    assert!(engine.turn().await.unwrap());
    let told = world.told(id).await;
    assert_eq!(told.saga.status, SagaStatus::Running);
    let next = told.steps[1].next_attempt_at.unwrap();
    assert!(next <= deadline + TimeDelta::milliseconds(20), "it is looked at when the deadline passes");
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Expired).await;
    assert!(told.saga.finished_at.unwrap() >= deadline);
    assert_eq!(world.calls(id).await, ["run a", "run b", "undo b", "undo a"]);
}

#[tokio::test]
async fn a_saga_whose_deadline_passed_before_it_began_does_nothing() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin_until(UNDO, clock::now()).await;
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Expired).await;
    assert_eq!(world.calls(id).await, [""; 0]);
}

#[tokio::test]
async fn a_pause_shorter_than_the_poll_is_kept_without_asking_the_database_more_often() {
    let world = World::new().await;
    let engine = world.engine(|setup| {
        setup.settings.poll = NEVER;
        setup.own_connections = Some(world.db.app_url.clone());
    });
    let ids = [world.begin(UNDO).await, world.begin(UNDO).await];
    for id in ids {
        world.script.next(id, "b", false, [const { Act::Wait(Duration::from_millis(60)) }; 3]);
    }
    let (begun, stop) = (Instant::now(), Shutdown::new());
    engine.start(&stop);
    for id in ids {
        let told = world.at_rest(id).await;
        world.assert_completed(&told).await;
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(180), "it asked sooner than it was told to: {took:?}");
    stop.begin();
    stop.drained().await;
    drop(engine);
    let scans = "SELECT coalesce(sum(idx_scan), 0)::bigint AS number FROM pg_stat_user_indexes \
         WHERE indexrelname = 'sagas_due'";
    world.all_gone().await;
    let looked = world.number(scans).await;
    // Up to four times for each look.
    assert!((4..=48).contains(&looked), "looked {looked} times");
}

#[tokio::test]
async fn an_engine_that_rests_is_woken() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.poll = NEVER);
    let stop = Shutdown::new();
    engine.start(&stop);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let id = world.begin(UNDO).await;
        world.wake.notify_one();
        let told = world.at_rest(id).await;
        world.assert_completed(&told).await;
    }
    stop.begin();
    stop.drained().await;
}
