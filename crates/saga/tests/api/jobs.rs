//! Sagas that wait for jobs of provisioning: on their way forth, and on their way back.

use std::time::Duration;

use runtime::shutdown::Shutdown;
use saga::{Cause, Followers, Hooks, OnFailure, SagaStatus, Wait, WaitingFor};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{
    steps::{Act, POLICY, fan_out},
    world::{UNDO, World, undo_attempts},
};

/// Longer than any test has patience.
const NEVER: Duration = Duration::from_secs(600);

async fn has_ended(world: &World, job: Uuid) {
    saga::job_ended(&world.pool.service_conn().await.unwrap(), job).await.unwrap();
    world.wake.notify_one();
}

async fn awaited(world: &World) -> Vec<Uuid> {
    let mut jobs = saga::awaited_jobs(&world.pool.service_conn().await.unwrap()).await.unwrap();
    jobs.sort_unstable();
    jobs
}

fn on_job(job: Uuid) -> Wait {
    Wait::new(WaitingFor::Job { job, at: "dns".to_owned() }, NEVER)
}

#[tokio::test]
async fn the_end_of_a_job_has_the_step_asked_again_at_once() {
    let world = World::new().await;
    let (report, mut waits) = Hooks::waits();
    let engine = world.engine(|setup| {
        setup.settings.poll = NEVER;
        setup.hooks.waits = Some(report);
    });
    let (id, job, other) = (world.begin(UNDO).await, domain::id::uuid_v7(), domain::id::uuid_v7());
    world.script.next(id, "b", false, [Act::Job(job, NEVER)]);
    let stop = Shutdown::new();
    engine.start(&stop);
    assert_eq!(waits.recv().await, Some(job));
    let told = world.told(id).await;
    assert_eq!(told.steps[1].waiting_for.as_ref().and_then(WaitingFor::job), Some(job), "written by then");
    assert_eq!(awaited(&world).await, [job]);
    has_ended(&world, other).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.told(id).await.saga.status, SagaStatus::Running, "it waits for another job");
    has_ended(&world, job).await;
    let told = world.at_rest(id).await;
    world.assert_completed(&told).await;
    assert_eq!(world.calls(id).await.iter().filter(|call| *call == "run b").count(), 2);
    assert!(awaited(&world).await.is_empty());
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn of_two_steps_that_wait_the_one_is_asked_whose_job_has_ended() {
    const FAN: &str = "fan-out-of-jobs";
    let world = World::new().await;
    let engine = world.engine(|setup| setup.definitions.push(fan_out(FAN, OnFailure::Undo, POLICY)));
    let (id, one, two) = (world.begin(FAN).await, domain::id::uuid_v7(), domain::id::uuid_v7());
    world.script.next(id, "b", false, [Act::Job(one, NEVER / 2)]);
    world.script.next(id, "c", false, [Act::Job(two, NEVER)]);
    assert!(engine.turn().await.unwrap());
    assert_eq!(awaited(&world).await, [one, two]);
    has_ended(&world, two).await;
    assert!(engine.turn().await.unwrap());
    let calls = world.calls(id).await;
    assert_eq!(calls.last().unwrap(), "run c", "{calls:?}");
    assert_eq!(calls.iter().filter(|call| *call == "run b").count(), 1, "{calls:?}");
    has_ended(&world, one).await;
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
}

#[tokio::test]
async fn an_undo_that_waits_is_asked_again_and_that_is_no_try() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let (id, job) = (world.begin(UNDO).await, domain::id::uuid_v7());
    world.script.next(id, "c", false, [Act::Fail(domain::Kind::Unprocessable)]);
    let shortly = Wait::new(WaitingFor::text("the other side"), Duration::from_millis(1));
    world.script.wait_before_undo(id, "b", [shortly.clone(), shortly, on_job(job)]);
    let waits = async {
        let told = world.until(id, |told| told.steps[1].waiting_for == Some(on_job(job).on)).await;
        assert_eq!(told.saga.status, SagaStatus::Undoing);
        let says = told.says(runtime::clock::now());
        assert!(says.ends_with(&format!("undoing step b waits for provisioning job {job}: dns")), "{says}");
        has_ended(&world, job).await;
    };
    let (told, ()) = tokio::join!(world.settle(&engine, id), waits);
    world.assert_undone(&told, Cause::Failed).await;
    assert_eq!(undo_attempts(&told), [1, 1, 1]);
    let calls = world.calls(id).await;
    let back = &calls[calls.iter().position(|call| call.starts_with("undo")).unwrap()..];
    assert_eq!(back, ["undo c", "ask b", "ask b", "ask b", "undo b", "undo a"]);
}

#[tokio::test]
async fn what_was_waited_for_going_forth_is_not_when_going_back() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "b", false, [Act::Job(domain::id::uuid_v7(), NEVER)]);
    assert!(engine.turn().await.unwrap());
    assert!(world.ask_undo(id).await);
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Cancelled).await;
    assert_eq!(undo_attempts(&told), [1, 1, 0]);
}

#[tokio::test]
async fn the_end_of_a_saga_is_heard_whoever_ends_it() {
    let world = World::new().await;
    let stop = Shutdown::new();
    let followers = Followers::start(world.pool.clone(), &stop);
    let here = world.engine(|setup| setup.hooks.ends = Some(followers.clone()));
    let elsewhere = world.engine(|_| {});
    // One that is yet to be recorded, one that has ended already.
    let id = domain::id::uuid_v7();
    let before = followers.ended(id).unwrap();
    world.try_begin(UNDO, id, None, "flow").await.unwrap();
    world.settle(&elsewhere, id).await;
    assert_eq!(timeout(Duration::from_secs(5), before).await.unwrap(), id);
    assert_eq!(timeout(Duration::from_secs(5), followers.ended(id).unwrap()).await.unwrap(), id);
    // Of its own engine, at once.
    let id = world.begin(UNDO).await;
    let end = tokio::spawn(followers.ended(id).unwrap());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!end.is_finished(), "it has not begun");
    let begun = Instant::now();
    world.settle(&here, id).await;
    assert_eq!(end.await.unwrap(), id);
    println!("the end was heard {:?} after its begin", begun.elapsed());
    stop.begin();
    stop.drained().await;
}
