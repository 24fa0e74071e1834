//! Requests to undo a saga, at any time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use domain::Kind;
use identity::WriteCtx;
use saga::{
    Cause, Fault, FaultInjector, InjectionPoint, Progress, SagaStatus, Step, StepCx, StepKey, StepPhase,
    StepStatus,
};
use uuid::Uuid;

use crate::{
    steps::{Act, App, Gate},
    world::{STOP, UNDO, World, statuses},
};

#[tokio::test]
async fn undo_before_the_start_runs_no_step() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    assert!(world.request_undo(id).await);
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Cancelled).await;
    assert_eq!(record.saga.error.as_deref(), Some("someone changed their mind"));
    assert_eq!(statuses(&record), [StepStatus::Skipped; 3]);
    assert_eq!(world.calls(id).await, [""; 0]);
    assert!(!world.request_undo(id).await, "there is nothing left to undo");
    assert!(!world.request_undo(Uuid::nil()).await, "there is no such saga");
}

/// A first step that reports the end of the saga even if it never started.
struct ReportingStep;

#[async_trait]
impl Step<App> for ReportingStep {
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

    fn undo_if_not_started(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn undo_before_the_start_runs_steps_that_report_it() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.definitions[0].steps[0] = Box::new(ReportingStep));
    let id = world.begin(UNDO).await;
    assert!(world.request_undo(id).await);
    let record = world.settle(&engine, id).await;
    assert_eq!((record.saga.status, record.saga.cause), (SagaStatus::Undone, Some(Cause::Cancelled)));
    assert_eq!(statuses(&record), [StepStatus::Compensated, StepStatus::Skipped, StepStatus::Skipped]);
    assert_eq!(world.calls(id).await, ["undo a"]);
}

#[tokio::test]
async fn undo_requested_during_a_step_starts_at_the_next_write() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let request = async {
        gate.reached.notified().await;
        assert!(world.request_undo(id).await);
        assert!(world.request_undo(id).await, "a repeated request is accepted");
        gate.open.notify_one();
    };
    tokio::join!(async { assert!(engine.run_once().await.unwrap()) }, request);
    let record = world.load(id).await;
    world.assert_undone(&record, Cause::Cancelled).await;
    assert_eq!(world.calls(id).await, ["run a", "run b", "undo b", "undo a"], "at its next write, not later");
}

#[tokio::test]
async fn undo_of_a_waiting_saga_starts_at_once() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.always(id, "b", false, Act::Wait(Duration::from_secs(600)));
    assert!(engine.run_once().await.unwrap());
    assert!(!engine.run_once().await.unwrap());
    assert!(world.request_undo(id).await);
    assert!(engine.run_once().await.unwrap(), "it is due at once");
    let record = world.load(id).await;
    world.assert_undone(&record, Cause::Cancelled).await;
    assert_eq!(world.calls(id).await, ["run a", "run b", "undo b", "undo a"]);
}

#[tokio::test]
async fn completed_saga_can_be_undone() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
    assert!(world.request_undo(id).await);
    let record = world.load(id).await;
    assert_eq!((record.saga.status, record.saga.finished_at), (SagaStatus::Undoing, None));
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Cancelled).await;
    assert_eq!(record.saga.error.as_deref(), Some("someone changed their mind"));
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c", "undo c", "undo b", "undo a"]);
}

#[tokio::test]
async fn repeated_undo_request_keeps_pauses_and_cause() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "b", false, [Act::Fail(Kind::Unprocessable)]);
    world.script.next(id, "a", true, [Act::Fail(Kind::Upstream)]);
    assert!(engine.run_once().await.unwrap());
    let before = world.load(id).await.saga;
    assert_eq!(before.status, SagaStatus::Undoing);
    assert!(world.request_undo(id).await);
    assert_eq!(
        world.load(id).await.saga.next_run_at,
        before.next_run_at,
        "a request does not shorten the pause"
    );
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Failed).await;
    assert_eq!(record.saga.error, before.error);
}

/// Requests the undo in this phase of this step, and waits for the commit.
fn request_undo_at(world: &World, id: Uuid, at: (&'static str, StepPhase)) -> FaultInjector {
    let url = world.db.app_url.clone();
    Arc::new(move |InjectionPoint { step, undo, phase, .. }| {
        if !undo && (step, phase) == at {
            let url = url.clone();
            // The fault injector is not async, so it runs a thread.
            let requested = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let connection = AsyncPgConnection::establish(&url).await.unwrap();
                    saga::request_undo(&connection, id, "at the worst time").await.unwrap()
                })
            });
            assert!(requested.join().unwrap());
        }
        Fault::None
    })
}

/// A request before the last write of a run is seen by it; the saga need not be claimed again.
#[tokio::test]
async fn undo_requested_before_the_last_write_is_not_lost() {
    let world = World::new().await;
    let wait = || Act::Wait(Duration::from_secs(600));
    let cases = [
        ("c", StepPhase::AfterEffect, UNDO, None, "completes"),
        ("b", StepPhase::AfterEffect, UNDO, Some(wait()), "waits"),
        ("b", StepPhase::AfterIntent, UNDO, Some(wait()), "waits, and saw the request at its previous write"),
        ("b", StepPhase::AfterEffect, UNDO, Some(Act::Fail(Kind::Upstream)), "is retried later"),
        ("b", StepPhase::AfterEffect, STOP, Some(Act::Fail(Kind::Unprocessable)), "is stuck"),
    ];
    for (step, phase, kind, act, what) in cases {
        let id = world.begin(kind).await;
        world.script.next(id, step, false, act);
        let engine = world
            .engine(|setup| setup.hooks.fault_injector = Some(request_undo_at(&world, id, (step, phase))));
        assert!(engine.run_once().await.unwrap(), "{what}");
        let record = world.load(id).await;
        assert_eq!(record.saga.status, SagaStatus::Undone, "one that {what}: {record:?}");
        world.assert_undone(&record, Cause::Cancelled).await;
        assert_eq!(record.saga.error.as_deref(), Some("at the worst time"), "{what}");
    }
}

#[tokio::test]
async fn tombstone_prevents_the_saga_from_starting() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = domain::id::uuid_v7();
    let never = async || {
        let ctx = WriteCtx::new(world.ctx());
        let record = world.pool.tx("saga.never", &ctx, async |tx| {
            let c = tx.conn().await?;
            saga::tombstone(c, &ctx, id, UNDO, "subject", "no longer \0 wanted").await?;
            saga::request_undo(c, id, "no longer wanted").await
        });
        record.await.unwrap().value
    };
    assert!(!never().await, "there was nothing to undo");
    assert!(!never().await, "a repeated request is accepted");
    let record = world.load(id).await;
    assert_eq!((record.saga.status, record.saga.cause), (SagaStatus::Undone, Some(Cause::Cancelled)));
    assert_eq!(record.saga.error.as_deref(), Some("no longer \u{fffd} wanted"));
    assert!(record.steps.is_empty());

    let late = world.try_begin(UNDO, id, None, "flow").await.unwrap_err();
    assert_eq!(late.kind(), Kind::AlreadyExists, "the constraint has the name that callers expect");
    assert!(!engine.run_once().await.unwrap(), "it never starts");

    let there = world.begin(UNDO).await;
    let connection = world.db.connect().await;
    saga::tombstone(&connection, &world.ctx(), there, UNDO, "subject", "too late").await.unwrap();
    assert_eq!(
        world.load(there).await.saga.status,
        SagaStatus::Pending,
        "an existing saga is left unchanged"
    );
}
