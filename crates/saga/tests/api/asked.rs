//! Someone asks for a saga to be undone: at any time, also at the worst.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use domain::Kind;
use identity::WriteCtx;
use saga::{
    Cause, Interpose, Moment, Point, Progress, SagaStatus, Step, StepCx, StepKey, StepStatus, Verdict,
};
use uuid::Uuid;

use crate::{
    steps::{Act, App, Gate},
    world::{STOP, UNDO, World, statuses},
};

#[tokio::test]
async fn before_it_began() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    assert!(world.ask_undo(id).await);
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Cancelled).await;
    assert_eq!(told.saga.error.as_deref(), Some("someone changed their mind"));
    assert_eq!(statuses(&told), [StepStatus::Skipped; 3]);
    assert_eq!(world.calls(id).await, [""; 0]);
    assert!(!world.ask_undo(id).await, "there is nothing left to undo");
    assert!(!world.ask_undo(Uuid::nil()).await, "there is no such saga");
}

/// A first step that has to tell someone how it went.
struct Teller;

#[async_trait]
impl Step<App> for Teller {
    type Output = ();

    fn key(&self) -> StepKey<()> {
        StepKey::new("a")
    }

    async fn run(&self, _: &App, _: &StepCx) -> domain::Result<Progress<()>> {
        Ok(Progress::Done(()))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> domain::Result<()> {
        assert_eq!(cx.output_if_any(self.key())?, None);
        app.note(cx, "undo", "a").await
    }

    fn undo_unbegun(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn before_it_began_someone_is_told_all_the_same() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.definitions[0].steps[0] = Box::new(Teller));
    let id = world.begin(UNDO).await;
    assert!(world.ask_undo(id).await);
    let told = world.settle(&engine, id).await;
    assert_eq!((told.saga.status, told.saga.cause), (SagaStatus::Undone, Some(Cause::Cancelled)));
    assert_eq!(statuses(&told), [StepStatus::Compensated, StepStatus::Skipped, StepStatus::Skipped]);
    assert_eq!(world.calls(id).await, ["undo a"]);
}

#[tokio::test]
async fn while_a_step_runs() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let asked = async {
        gate.reached.notified().await;
        assert!(world.ask_undo(id).await);
        assert!(world.ask_undo(id).await, "asking again is no fault");
        gate.open.notify_one();
    };
    tokio::join!(async { assert!(engine.turn().await.unwrap()) }, asked);
    let told = world.told(id).await;
    world.assert_undone(&told, Cause::Cancelled).await;
    assert_eq!(world.calls(id).await, ["run a", "run b", "undo b", "undo a"], "at its next write, not later");
}

#[tokio::test]
async fn while_it_waits() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.always(id, "b", false, Act::Wait(Duration::from_secs(600)));
    assert!(engine.turn().await.unwrap());
    assert!(!engine.turn().await.unwrap());
    assert!(world.ask_undo(id).await);
    assert!(engine.turn().await.unwrap(), "it is due at once");
    let told = world.told(id).await;
    world.assert_undone(&told, Cause::Cancelled).await;
    assert_eq!(world.calls(id).await, ["run a", "run b", "undo b", "undo a"]);
}

#[tokio::test]
async fn after_it_was_completed() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
    assert!(world.ask_undo(id).await);
    let told = world.told(id).await;
    assert_eq!((told.saga.status, told.saga.finished_at), (SagaStatus::Undoing, None));
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Cancelled).await;
    assert_eq!(told.saga.error.as_deref(), Some("someone changed their mind"));
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c", "undo c", "undo b", "undo a"]);
}

#[tokio::test]
async fn while_it_is_undone_already() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "b", false, [Act::Fail(Kind::Unprocessable)]);
    world.script.next(id, "a", true, [Act::Fail(Kind::Upstream)]);
    assert!(engine.turn().await.unwrap());
    let before = world.told(id).await.saga;
    assert_eq!(before.status, SagaStatus::Undoing);
    assert!(world.ask_undo(id).await);
    assert_eq!(world.told(id).await.saga.next_run_at, before.next_run_at, "asking does not use its tries up");
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Failed).await;
    assert_eq!(told.saga.error, before.error);
}

/// Asks when the saga meets the point, and goes on when that is committed.
fn ask_at(world: &World, id: Uuid, at: (&'static str, Point)) -> Interpose {
    let url = world.db.app_url.clone();
    Arc::new(move |Moment { step, undo, point, .. }| {
        if !undo && (step, point) == at {
            let url = url.clone();
            // The interposed function is not async: a thread of its own is.
            let asked = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let connection = AsyncPgConnection::establish(&url).await.unwrap();
                    saga::ask_undo(&connection, id, "at the worst time").await.unwrap()
                })
            });
            assert!(asked.join().unwrap());
        }
        Verdict::Go
    })
}

/// What is asked before the last write of a turn is not forgotten by it, and need not be claimed again.
#[tokio::test]
async fn right_before_the_last_write() {
    let world = World::new().await;
    let wait = || Act::Wait(Duration::from_secs(600));
    let cases = [
        ("c", Point::AfterEffect, UNDO, None, "completes"),
        ("b", Point::AfterEffect, UNDO, Some(wait()), "waits"),
        ("b", Point::AfterIntent, UNDO, Some(wait()), "waits, and was told at its write before"),
        ("b", Point::AfterEffect, UNDO, Some(Act::Fail(Kind::Upstream)), "is tried again later"),
        ("b", Point::AfterEffect, STOP, Some(Act::Fail(Kind::Unprocessable)), "is stuck"),
    ];
    for (step, point, kind, act, what) in cases {
        let id = world.begin(kind).await;
        world.script.next(id, step, false, act);
        let engine = world.engine(|setup| setup.hooks.interpose = Some(ask_at(&world, id, (step, point))));
        assert!(engine.turn().await.unwrap(), "{what}");
        let told = world.told(id).await;
        assert_eq!(told.saga.status, SagaStatus::Undone, "one that {what}: {told:?}");
        world.assert_undone(&told, Cause::Cancelled).await;
        assert_eq!(told.saga.error.as_deref(), Some("at the worst time"), "{what}");
    }
}

#[tokio::test]
async fn before_it_was_made() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = domain::id::uuid_v7();
    let never = async || {
        let ctx = WriteCtx::new(world.ctx());
        let told = world.pool.tx("saga.never", &ctx, async |tx| {
            let c = tx.conn().await?;
            saga::tombstone(c, &ctx, id, UNDO, "subject", "no longer \0 wanted").await?;
            saga::ask_undo(c, id, "no longer wanted").await
        });
        told.await.unwrap().value
    };
    assert!(!never().await, "there was nothing to undo");
    assert!(!never().await, "again is no fault");
    let told = world.told(id).await;
    assert_eq!((told.saga.status, told.saga.cause), (SagaStatus::Undone, Some(Cause::Cancelled)));
    assert_eq!(told.saga.error.as_deref(), Some("no longer \u{fffd} wanted"));
    assert!(told.steps.is_empty());

    let late = world.try_begin(UNDO, id, None, "flow").await.unwrap_err();
    assert_eq!(late.kind(), Kind::AlreadyExists, "the constraint has the name that callers expect");
    assert!(!engine.turn().await.unwrap(), "it never begins");

    let there = world.begin(UNDO).await;
    let connection = world.db.connect().await;
    saga::tombstone(&connection, &world.ctx(), there, UNDO, "subject", "too late").await.unwrap();
    assert_eq!(
        world.told(there).await.saga.status,
        SagaStatus::Pending,
        "one that is there is left as it is"
    );
}
