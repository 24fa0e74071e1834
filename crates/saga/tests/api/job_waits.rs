//! Sagas whose steps or undos wait for provisioning jobs.

use std::time::Duration;

use runtime::shutdown::Shutdown;
use saga::{Cause, Followers, Hooks, OnFailure, SagaStatus, Wait, WaitingFor};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{
    steps::{Act, POLICY, fan_out},
    world::{UNDO, World, undo_attempts},
};

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(600);

async fn end_job(world: &World, job: Uuid) {
    saga::wake_job_waiters(&world.pool.service_conn().await.unwrap(), job).await.unwrap();
    world.wake.notify_one();
}

async fn awaited_jobs(world: &World) -> Vec<Uuid> {
    let mut jobs = saga::awaited_jobs(&world.pool.service_conn().await.unwrap()).await.unwrap();
    jobs.sort_unstable();
    jobs
}

fn wait_for_job(job: Uuid) -> Wait {
    Wait::new(WaitingFor::Job { job, at: "dns".to_owned() }, NEVER)
}

#[tokio::test]
async fn end_of_a_job_runs_the_waiting_step_at_once() {
    let world = World::new().await;
    let (report, mut waits) = Hooks::job_channel();
    let engine = world.engine(|setup| {
        setup.settings.poll = NEVER;
        setup.hooks.awaited_jobs = Some(report);
    });
    let (id, job, other) = (world.begin(UNDO).await, domain::id::uuid_v7(), domain::id::uuid_v7());
    world.script.next(id, "b", false, [Act::Job(job, NEVER)]);
    let stop = Shutdown::new();
    engine.start(&stop);
    assert_eq!(waits.recv().await, Some(job));
    let record = world.load(id).await;
    assert_eq!(
        record.steps[1].waiting_for.as_ref().and_then(WaitingFor::job),
        Some(job),
        "the row is written before the report"
    );
    assert_eq!(awaited_jobs(&world).await, [job]);
    end_job(&world, other).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.load(id).await.saga.status, SagaStatus::Running, "it waits for another job");
    end_job(&world, job).await;
    let record = world.wait_until_ended(id).await;
    world.assert_completed(&record).await;
    assert_eq!(world.calls(id).await.iter().filter(|call| *call == "run b").count(), 2);
    assert!(awaited_jobs(&world).await.is_empty());
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn end_of_a_job_runs_only_the_step_that_waits_for_it() {
    const FAN: &str = "fan-out-of-jobs";
    let world = World::new().await;
    let engine = world.engine(|setup| setup.definitions.push(fan_out(FAN, OnFailure::Undo, POLICY)));
    let (id, one, two) = (world.begin(FAN).await, domain::id::uuid_v7(), domain::id::uuid_v7());
    world.script.next(id, "b", false, [Act::Job(one, NEVER / 2)]);
    world.script.next(id, "c", false, [Act::Job(two, NEVER)]);
    assert!(engine.run_once().await.unwrap());
    assert_eq!(awaited_jobs(&world).await, [one, two]);
    end_job(&world, two).await;
    assert!(engine.run_once().await.unwrap());
    let calls = world.calls(id).await;
    assert_eq!(calls.last().unwrap(), "run c", "{calls:?}");
    assert_eq!(calls.iter().filter(|call| *call == "run b").count(), 1, "{calls:?}");
    end_job(&world, one).await;
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
}

#[tokio::test]
async fn waiting_undo_does_not_count_as_an_attempt() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let (id, job) = (world.begin(UNDO).await, domain::id::uuid_v7());
    world.script.next(id, "c", false, [Act::Fail(domain::Kind::Unprocessable)]);
    let shortly = Wait::new(WaitingFor::text("the other side"), Duration::from_millis(1));
    world.script.wait_before_undo(id, "b", [shortly.clone(), shortly, wait_for_job(job)]);
    let waits = async {
        let record =
            world.until(id, |record| record.steps[1].waiting_for == Some(wait_for_job(job).on)).await;
        assert_eq!(record.saga.status, SagaStatus::Undoing);
        let text = record.describe(runtime::clock::now());
        assert!(text.ends_with(&format!("undoing step b waits for provisioning job {job}: dns")), "{text}");
        end_job(&world, job).await;
    };
    let (record, ()) = tokio::join!(world.settle(&engine, id), waits);
    world.assert_undone(&record, Cause::Failed).await;
    assert_eq!(undo_attempts(&record), [1, 1, 1]);
    let calls = world.calls(id).await;
    let undone = &calls[calls.iter().position(|call| call.starts_with("undo")).unwrap()..];
    assert_eq!(undone, ["undo c", "ask b", "ask b", "ask b", "undo b", "undo a"]);
}

#[tokio::test]
async fn undo_does_not_wait_for_the_job_of_the_run() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "b", false, [Act::Job(domain::id::uuid_v7(), NEVER)]);
    assert!(engine.run_once().await.unwrap());
    assert!(world.request_undo(id).await);
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Cancelled).await;
    assert_eq!(undo_attempts(&record), [1, 1, 0]);
}

#[tokio::test]
async fn followers_are_notified_of_ends_in_any_process() {
    let world = World::new().await;
    let stop = Shutdown::new();
    let followers = Followers::start(world.pool.clone(), &stop);
    let here = world.engine(|setup| setup.hooks.followers = Some(followers.clone()));
    let elsewhere = world.engine(|_| {});
    // A saga that is not recorded yet, then one that has ended.
    let id = domain::id::uuid_v7();
    let before = followers.wait_for_end(id).unwrap();
    world.try_begin(UNDO, id, None, "flow").await.unwrap();
    world.settle(&elsewhere, id).await;
    assert_eq!(timeout(Duration::from_secs(5), before).await.unwrap(), id);
    assert_eq!(timeout(Duration::from_secs(5), followers.wait_for_end(id).unwrap()).await.unwrap(), id);
    // The engine of this process notifies at once.
    let id = world.begin(UNDO).await;
    let end = tokio::spawn(followers.wait_for_end(id).unwrap());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!end.is_finished(), "it has not started");
    let start = Instant::now();
    world.settle(&here, id).await;
    assert_eq!(end.await.unwrap(), id);
    println!("the follower was notified {:?} after the start", start.elapsed());
    stop.begin();
    stop.drained().await;
}
