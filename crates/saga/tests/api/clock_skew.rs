//! Clock skew between processes and the database, and peers that reject a signature for a while.

use std::time::Duration;

use domain::Kind;
use runtime::shutdown::Shutdown;
use tokio::time::Instant;

use crate::{
    steps::{Act, POLICY},
    world::{STOP, UNDO, World, attempts},
};

/// Offsets of the database's clock from those of the processes.
const SKEWS: [&str; 2] = ["1 hour", "-1 hour"];

#[tokio::test]
async fn saga_starts_at_once_despite_clock_skew() {
    for skew in SKEWS {
        let world = World::with_skewed_database(skew).await;
        let id = world.begin(UNDO).await;
        assert!(world.engine(|_| {}).run_once().await.unwrap(), "not due with a skew of {skew}");
        let record = world.load(id).await;
        world.assert_completed(&record).await;
    }
}

#[tokio::test]
async fn pauses_keep_their_length_despite_clock_skew() {
    const PAUSE: Duration = Duration::from_millis(200);
    for skew in SKEWS {
        let world = World::with_skewed_database(skew).await;
        let engine = world.engine(|_| {});
        let id = world.begin(STOP).await;
        world.script.next(id, "b", false, [Act::Fail(Kind::Upstream), Act::Wait(PAUSE), Act::Wait(PAUSE)]);
        let start = Instant::now();
        let record = world.settle(&engine, id).await;
        world.assert_completed(&record).await;
        let took = start.elapsed();
        assert!(took >= PAUSE * 2, "polled too soon with a skew of {skew}: {took:?}");
    }
}

/// One of two concurrent steps is retried after a claim by a process with a different clock.
#[tokio::test]
async fn concurrent_steps_are_retried_in_time_despite_clock_skew() {
    for skew in SKEWS {
        let world = World::with_skewed_database(skew).await;
        let definitions = || vec![crate::steps::fan_out(UNDO, saga::OnFailure::Undo, POLICY)];
        let id = world.begin(UNDO).await;
        let pause = Duration::from_millis(50);
        world.script.next(id, "b", false, [Act::Wait(pause), Act::Wait(pause)]);
        world.script.next(id, "c", false, [Act::Wait(pause * 2), Act::Wait(pause)]);
        let engine = world.engine(|setup| setup.definitions = definitions());
        let record = world.settle(&engine, id).await;
        world.assert_completed(&record).await;
    }
}

#[tokio::test]
async fn lease_holds_despite_clock_skew() {
    for skew in SKEWS {
        let world = World::with_skewed_database(skew).await;
        let short = |setup: &mut crate::world::Setup| setup.settings.lease = Duration::from_millis(400);
        let (first, second) = (world.engine(short), world.engine(short));
        let id = world.begin(UNDO).await;
        world.script.next(id, "a", false, [Act::Sleep(Duration::from_millis(1200))]);
        let stop = Shutdown::new();
        first.start(&stop);
        second.start(&stop);
        let record = world.wait_until_ended(id).await;
        world.assert_completed(&record).await;
        assert_eq!(world.calls(id).await.len(), 3, "two engines ran it with a skew of {skew}");
        stop.begin();
        stop.drained().await;
    }
}

#[tokio::test]
async fn rejected_identity_does_not_count_against_attempts() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let refused = [const { Act::Fail(Kind::Unauthorized) }; 8];
    world.script.next(id, "b", false, refused);
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1, 9, 1], "more attempts than other failures get");
}

#[tokio::test]
async fn rejected_identity_does_not_count_against_undo_attempts() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "b", false, [Act::Fail(Kind::Unprocessable)]);
    world.script.next(id, "a", true, [const { Act::Fail(Kind::Unauthorized) }; 8]);
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, saga::Cause::Failed).await;
}
