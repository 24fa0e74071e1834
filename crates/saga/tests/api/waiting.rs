//! Steps that wait for work elsewhere, deadlines and polling.

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

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(600);

#[tokio::test]
async fn waiting_step_shows_its_cause_and_does_not_count_as_an_attempt() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "b", false, [Act::Fail(Kind::Upstream), Act::Wait(NEVER)]);
    world.script.next(id, "b", false, [const { Act::Wait(Duration::from_millis(20)) }; 3]);
    let record = {
        assert!(engine.run_once().await.unwrap());
        world.until(id, |record| record.saga.next_run_at <= clock::now()).await;
        assert!(engine.run_once().await.unwrap());
        world.load(id).await
    };
    let row = &record.steps[1];
    assert_eq!(
        (record.saga.status, record.saga.lease_until),
        (SagaStatus::Running, None),
        "no runner holds it during the pause"
    );
    assert_eq!((row.status, row.attempts), (StepStatus::InProgress, 2));
    assert_eq!((&row.waiting_for, row.error.as_deref()), (&Some(WaitingFor::text("the other side")), None));
    let pause = row.next_attempt_at.unwrap() - clock::now();
    assert!(pause > TimeDelta::seconds(590) && pause <= TimeDelta::seconds(600), "{pause}");
    assert!(!engine.run_once().await.unwrap(), "it is not due");

    world.execute(&format!("UPDATE sagas SET next_run_at = now() WHERE id = '{id}'")).await;
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1, 2, 1]);
    assert_eq!(world.calls(id).await.iter().filter(|call| *call == "run b").count(), 6);
}

#[tokio::test]
async fn deadline_that_passes_during_a_wait_undoes_the_saga() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let deadline = clock::now() + TimeDelta::seconds(1);
    let id = world.begin_with_deadline(UNDO, deadline).await;
    world.script.always(id, "b", false, Act::Wait(NEVER));
    assert!(engine.run_once().await.unwrap());
    let record = world.load(id).await;
    assert_eq!(record.saga.status, SagaStatus::Running);
    let next = record.steps[1].next_attempt_at.unwrap();
    assert!(next <= deadline + TimeDelta::milliseconds(20), "it is due when the deadline passes");
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Expired).await;
    assert!(record.saga.finished_at.unwrap() >= deadline);
    assert_eq!(world.calls(id).await, ["run a", "run b", "undo b", "undo a"]);
}

#[tokio::test]
async fn saga_whose_deadline_passed_before_the_start_runs_no_step() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin_with_deadline(UNDO, clock::now()).await;
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Expired).await;
    assert_eq!(world.calls(id).await, [""; 0]);
}

#[tokio::test]
async fn short_pause_does_not_cause_more_polls() {
    let world = World::new().await;
    let engine = world.engine(|setup| {
        setup.settings.poll = NEVER;
        setup.own_connections = Some(world.db.app_url.clone());
    });
    let ids = [world.begin(UNDO).await, world.begin(UNDO).await];
    for id in ids {
        world.script.next(id, "b", false, [const { Act::Wait(Duration::from_millis(60)) }; 3]);
    }
    let (start, stop) = (Instant::now(), Shutdown::new());
    engine.start(&stop);
    for id in ids {
        let record = world.wait_until_ended(id).await;
        world.assert_completed(&record).await;
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(180), "the step ran before its pause was over: {took:?}");
    stop.begin();
    stop.drained().await;
    drop(engine);
    let scans = "SELECT coalesce(sum(idx_scan), 0)::bigint AS number FROM pg_stat_user_indexes \
         WHERE indexrelname = 'sagas_due'";
    world.wait_for_disconnects().await;
    let scanned = world.number(scans).await;
    // A poll scans the index up to four times.
    assert!((4..=48).contains(&scanned), "{scanned} scans");
}

#[tokio::test]
async fn idle_engine_is_woken() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.poll = NEVER);
    let stop = Shutdown::new();
    engine.start(&stop);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let id = world.begin(UNDO).await;
        world.wake.notify_one();
        let record = world.wait_until_ended(id).await;
        world.assert_completed(&record).await;
    }
    stop.begin();
    stop.drained().await;
}
