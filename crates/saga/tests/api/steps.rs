//! Three steps whose effects are rows, so that tests can count them. The steps use their own connections, so that a
//! rollback of the engine does not remove effects.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use database::Db;
use diesel::{sql_query, sql_types as t};
use diesel_async::RunQueryDsl;
use domain::{Error, Kind, Result};
use saga::{
    AnyStep, Definition, OnFailure, Policy, Progress, Step, StepCx, StepKey, StepName, Wait, WaitingFor,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) const STEPS: [&str; 3] = ["a", "b", "c"];

/// The scripted behaviour of a step, instead of its effect or in addition to it.
#[derive(Clone)]
pub(crate) enum Act {
    /// Fails without an effect.
    Fail(Kind),
    /// Takes effect and fails.
    FailAfter(Kind),
    Wait(Duration),
    /// Waits for another saga.
    BlockedBy(Uuid, Duration),
    /// Waits for a provisioning job.
    Job(Uuid, Duration),
    Skip,
    Panic,
    /// Fails with a text that PostgreSQL cannot store, or returns such an output.
    NulMessage,
    NulOutput,
    /// Takes effect and waits until the gate is open.
    Gate(Arc<Gate>),
    Sleep(Duration),
}

/// A gate that holds a step until the test opens it.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) reached: Notify,
    pub(crate) open: Notify,
}

/// The application state of one process.
#[derive(Clone)]
pub(crate) struct App {
    /// The name of the process, recorded with each call.
    pub(crate) name: &'static str,
    pub(crate) db: Db,
    pub(crate) script: Arc<Script>,
}

#[derive(Default)]
pub(crate) struct Script {
    once: Mutex<HashMap<Call, VecDeque<Act>>>,
    always: Mutex<HashMap<Call, Act>>,
    undo_waits: Mutex<HashMap<(Uuid, &'static str), VecDeque<Wait>>>,
    /// The number of steps that were aborted.
    pub(crate) cut: AtomicUsize,
    /// The current and the maximum number of steps in progress.
    in_progress: AtomicUsize,
    pub(crate) max_in_progress: AtomicUsize,
}

type Call = (Uuid, &'static str, bool);

impl Script {
    /// Scripts the next calls of the step.
    pub(crate) fn next(&self, id: Uuid, step: &'static str, undo: bool, acts: impl IntoIterator<Item = Act>) {
        self.once.lock().unwrap().entry((id, step, undo)).or_default().extend(acts);
    }

    /// Scripts every call of the step for which `next` has no act.
    pub(crate) fn always(&self, id: Uuid, step: &'static str, undo: bool, act: Act) {
        self.always.lock().unwrap().insert((id, step, undo), act);
    }

    /// Removes the script of `always`.
    pub(crate) fn heal(&self, id: Uuid, step: &'static str, undo: bool) {
        self.always.lock().unwrap().remove(&(id, step, undo));
    }

    /// Scripts the waits of the next calls of [`Step::before_undo`].
    pub(crate) fn wait_before_undo(
        &self,
        id: Uuid,
        step: &'static str,
        waits: impl IntoIterator<Item = Wait>,
    ) {
        self.undo_waits.lock().unwrap().entry((id, step)).or_default().extend(waits);
    }

    fn undo_wait(&self, id: Uuid, step: &'static str) -> Option<Wait> {
        self.undo_waits.lock().unwrap().get_mut(&(id, step)).and_then(VecDeque::pop_front)
    }

    fn act(&self, id: Uuid, step: &'static str, undo: bool) -> Option<Act> {
        let call = (id, step, undo);
        let once = self.once.lock().unwrap().get_mut(&call).and_then(VecDeque::pop_front);
        once.or_else(|| self.always.lock().unwrap().get(&call).cloned())
    }
}

/// Counts steps in progress and steps that are aborted.
struct InProgress<'s> {
    script: &'s Script,
    ended: bool,
}

impl<'s> InProgress<'s> {
    fn new(script: &'s Script) -> Self {
        let now = script.in_progress.fetch_add(1, Ordering::SeqCst) + 1;
        script.max_in_progress.fetch_max(now, Ordering::SeqCst);
        Self { script, ended: false }
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.script.in_progress.fetch_sub(1, Ordering::SeqCst);
        if !self.ended {
            self.script.cut.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl App {
    /// Records the call of a step.
    pub(crate) async fn note(&self, cx: &StepCx, call: &str, step: &str) -> Result<()> {
        sql_query("INSERT INTO calls (saga_id, call, step, by, attempt) VALUES ($1, $2, $3, $4, $5)")
            .bind::<t::Uuid, _>(cx.saga_id)
            .bind::<t::Text, _>(call)
            .bind::<t::Text, _>(step)
            .bind::<t::Text, _>(self.name)
            .bind::<t::Integer, _>(cx.attempt)
            .execute(&mut *self.db.service_conn().await?)
            .await?;
        Ok(())
    }

    async fn make(&self, id: Uuid, step: &str) -> Result<()> {
        sql_query("INSERT INTO effects (saga_id, step) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind::<t::Uuid, _>(id)
            .bind::<t::Text, _>(step)
            .execute(&mut *self.db.service_conn().await?)
            .await?;
        Ok(())
    }

    async fn remove_effect(&self, id: Uuid, step: &str) -> Result<()> {
        sql_query("DELETE FROM effects WHERE saga_id = $1 AND step = $2")
            .bind::<t::Uuid, _>(id)
            .bind::<t::Text, _>(step)
            .execute(&mut *self.db.service_conn().await?)
            .await?;
        Ok(())
    }
}

/// The output of a step.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Output {
    pub(crate) step: String,
    pub(crate) by: String,
}

pub(crate) struct TestStep {
    name: &'static str,
    policy: Policy,
    needs: Option<&'static [StepName]>,
}

#[async_trait]
impl Step<App> for TestStep {
    type Output = Value;

    fn key(&self) -> StepKey<Value> {
        StepKey::new(self.name)
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Value>> {
        app.note(cx, "run", self.name).await?;
        // Every earlier step has an output or was skipped.
        for earlier in STEPS.iter().take_while(|step| **step != self.name) {
            if let Some(output) = cx.output_if_any(StepKey::<Output>::new(earlier))? {
                assert_eq!(output.step, *earlier);
            }
        }
        let mut in_progress = InProgress::new(&app.script);
        let result = self.act(app, cx).await;
        in_progress.ended = true;
        result
    }

    async fn before_undo(&self, app: &App, cx: &StepCx) -> Result<Option<Wait>> {
        let Some(wait) = app.script.undo_wait(cx.saga_id, self.name) else { return Ok(None) };
        app.note(cx, "ask", self.name).await?;
        Ok(Some(wait))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        app.note(cx, "undo", self.name).await?;
        match app.script.act(cx.saga_id, self.name, true) {
            Some(Act::Fail(kind)) => Err(fault(kind)),
            Some(Act::FailAfter(kind)) => {
                app.remove_effect(cx.saga_id, self.name).await?;
                Err(fault(kind))
            }
            Some(Act::Gate(gate)) => {
                gate.reached.notify_one();
                gate.open.notified().await;
                app.remove_effect(cx.saga_id, self.name).await
            }
            _ => app.remove_effect(cx.saga_id, self.name).await,
        }
    }

    fn needs(&self) -> Option<&'static [StepName]> {
        self.needs
    }

    fn policy(&self) -> Policy {
        self.policy
    }
}

impl TestStep {
    async fn act(&self, app: &App, cx: &StepCx) -> Result<Progress<Value>> {
        let output = Output { step: self.name.to_owned(), by: app.name.to_owned() };
        let done = || Ok(Progress::Done(serde_json::to_value(&output).unwrap()));
        let make = || app.make(cx.saga_id, self.name);
        match app.script.act(cx.saga_id, self.name, false) {
            Some(Act::Fail(kind)) => Err(fault(kind)),
            Some(Act::FailAfter(kind)) => {
                make().await?;
                Err(fault(kind))
            }
            Some(Act::Wait(retry_after)) => {
                make().await?;
                Ok(Progress::Waiting(Wait::new(WaitingFor::text("the other side"), retry_after)))
            }
            Some(Act::BlockedBy(saga, retry_after)) => {
                let on = WaitingFor::text("the saga before");
                Ok(Progress::Waiting(Wait { on, retry_after, blocked_by: Some(saga) }))
            }
            Some(Act::Job(job, retry_after)) => {
                make().await?;
                let on = WaitingFor::Job { job, at: "its first step".to_owned() };
                Ok(Progress::Waiting(Wait::new(on, retry_after)))
            }
            Some(Act::Skip) => Ok(Progress::Skipped),
            Some(Act::Panic) => panic!("a step that panics"),
            Some(Act::NulMessage) => Err(Error::new(Kind::Unprocessable, "nul \0 nul")),
            Some(Act::NulOutput) => Ok(Progress::Done(serde_json::json!({ "deep": ["nul \0 nul"] }))),
            Some(Act::Gate(gate)) => {
                make().await?;
                gate.reached.notify_one();
                gate.open.notified().await;
                done()
            }
            Some(Act::Sleep(time)) => {
                tokio::time::sleep(time).await;
                make().await?;
                done()
            }
            None => {
                make().await?;
                done()
            }
        }
    }
}

fn fault(kind: Kind) -> Error {
    Error::new(kind, "scripted")
}

/// Short pauses and three attempts.
pub(crate) const POLICY: Policy = Policy {
    attempts: 3,
    pause: Duration::from_millis(1),
    max_pause: Duration::from_millis(5),
    timeout: Duration::from_secs(10),
    undo_attempts: 3,
};

/// A saga of steps a, b and c.
pub(crate) fn definition(kind: &'static str, on_failure: OnFailure, policy: Policy) -> Definition<App> {
    definition_with_needs(kind, on_failure, policy, |_| None)
}

/// The same, but c does not need b.
pub(crate) fn fan_out(kind: &'static str, on_failure: OnFailure, policy: Policy) -> Definition<App> {
    definition_with_needs(kind, on_failure, policy, |step| {
        (step == "c").then_some(const { &[StepKey::<Output>::new("a").name()] as &[StepName] })
    })
}

fn definition_with_needs(
    kind: &'static str,
    on_failure: OnFailure,
    policy: Policy,
    needs: impl Fn(&str) -> Option<&'static [StepName]>,
) -> Definition<App> {
    let step = |name| Box::new(TestStep { name, policy, needs: needs(name) }) as Box<dyn AnyStep<App>>;
    Definition { kind, version: 1, steps: STEPS.map(step).into(), on_failure }
}
