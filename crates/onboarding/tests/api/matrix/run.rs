//! The run of one saga through its cells.

use std::{
    sync::{Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use ::saga::{AttemptResult, Fault, InjectionPoint, StepPhase};
use domain::{Error, Kind};
use fake_provider::Action;
use uuid::Uuid;

use super::{
    cells::{Aftermath, Failure, FailureKind, Plan, Timing},
    failures::{FailureInjector, blocking, hang_after_effect, lost_response, unavailable},
};

/// The time limit of an attempt that times out. The step may or may not have taken effect by then.
const SHORT: Duration = Duration::from_millis(60);

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) plan: Plan,
    /// The saga, once it has reached an injection point.
    pub(crate) saga: OnceLock<Uuid>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    steps: Vec<StepProgress>,
    outage: Option<Outage>,
}

/// The progress of a step.
#[derive(Debug, Clone, Default)]
struct StepProgress {
    failed_once: bool,
    /// The failure is active in the current attempt.
    failure_active: bool,
    /// The current attempt runs the step twice.
    running_twice: bool,
    ran_twice: bool,
    recorded: bool,
    stops: usize,
    undo_attempts: usize,
    undone: bool,
}

/// An outage of the provider, which ends when an attempt of this step, or of any step, has met it.
#[derive(Debug)]
struct Outage {
    step: Option<usize>,
    attempts: usize,
}

/// An injection point of a step.
#[derive(Clone, Copy)]
struct Context<'m> {
    at: usize,
    now: InjectionPoint<'m>,
    injector: &'m FailureInjector,
    /// True if the saga is cancelled together with the failure.
    cancels: bool,
}

fn transient() -> Fault {
    Fault::Fail(Error::new(Kind::Upstream, "not now, on purpose"))
}

fn permanent() -> Fault {
    Fault::Fail(Error::new(Kind::Unprocessable, "broken on purpose"))
}

impl Run {
    pub(crate) fn new(plan: Plan) -> Self {
        let steps = vec![StepProgress::default(); plan.outline.steps.len()];
        Self { plan, saga: OnceLock::new(), state: Mutex::new(State { steps, outage: None }) }
    }

    /// Locks the state. The lock is held during the injection.
    fn state(&self) -> MutexGuard<'_, State> {
        blocking(|| self.state.lock().unwrap())
    }

    /// The cells that did not run as planned.
    pub(crate) fn missed(&self) -> Vec<Plan> {
        let state = self.state();
        let covered = |progress: &StepProgress| match self.plan.aftermath {
            Aftermath::RunTwice => progress.failed_once && progress.ran_twice,
            _ if self.plan.stops() => {
                progress.failed_once && progress.ran_twice && progress.stops == self.stops()
            }
            _ => progress.failed_once && progress.undone,
        };
        let cells = self.plan.each().into_iter().zip(&state.steps);
        cells
            .filter(|(alone, progress)| alone.cells() > 0 && !covered(progress))
            .map(|(alone, _)| alone)
            .collect()
    }

    /// Returns true if the planned end is an undo.
    pub(crate) fn is_undone(&self) -> bool {
        self.plan.aftermath != Aftermath::RunTwice && !self.plan.stops()
    }

    /// The number of times that each step stops before it succeeds.
    fn stops(&self) -> usize {
        match self.plan.aftermath {
            Aftermath::UndoTwice if self.plan.stops() => 1,
            Aftermath::UndoFails if self.plan.stops() => 2,
            _ => 0,
        }
    }

    pub(crate) fn inject(&self, now: InjectionPoint<'_>, injector: &FailureInjector) -> Fault {
        let _first = self.saga.set(now.saga.id);
        let at = self.plan.outline.steps.iter().position(|step| *step == now.step).expect("a step");
        let (mut state, cx) = (self.state(), Context { at, now, injector, cancels: self.plan.cancels });
        if now.phase == StepPhase::AfterEffect {
            state.end_outage(cx);
        }
        match (self.plan.failures[at], now.undo, now.phase) {
            // A saga with a single cell.
            (None, false, StepPhase::AfterEffect) if self.ends_here(&state, cx) => permanent(),
            (failure, false, StepPhase::AfterRecord) => state.after_record(failure, cx),
            (None, ..) => Fault::None,
            (Some(failure), true, _) => self.during_undo(&mut state.steps[at], failure, cx),
            (Some(failure), false, StepPhase::BeforeIntent) => state.before_intent(failure, cx),
            (Some(failure), false, StepPhase::AfterIntent) => self.after_intent(&mut state, failure, cx),
            (Some(failure), false, StepPhase::AfterEffect) => self.after_effect(&mut state, failure, cx),
        }
    }

    fn after_intent(&self, state: &mut State, failure: Failure, cx: Context<'_>) -> Fault {
        let (twice, progress) = (self.plan.aftermath == Aftermath::RunTwice, &mut state.steps[cx.at]);
        progress.running_twice = (twice || self.plan.stops()) && progress.stops == self.stops();
        let fault = if progress.running_twice { Fault::RunTwice } else { Fault::None };
        if progress.failed_once {
            return fault;
        }
        match (failure.timing, failure.kind) {
            (Timing::AfterIntent, _) => match state.inject_failure(failure, Some(cx.at), cx) {
                Fault::None => fault,
                crash => crash,
            },
            (Timing::TimedOut, kind) => {
                progress.failure_active = true;
                if kind == FailureKind::ProviderOutage {
                    state.start_outage(Some(cx.at), hang_after_effect(), cx);
                }
                Fault::TimeOut(SHORT)
            }
            (Timing::Unrecorded, FailureKind::ProviderOutage) => {
                progress.failure_active = true;
                state.start_outage(Some(cx.at), lost_response(), cx);
                fault
            }
            _ => fault,
        }
    }

    fn after_effect(&self, state: &mut State, failure: Failure, cx: Context<'_>) -> Fault {
        let (done, progress) = (cx.now.result == Some(AttemptResult::Done), &mut state.steps[cx.at]);
        progress.ran_twice |= progress.running_twice && done;
        if std::mem::take(&mut progress.failure_active) {
            progress.failed_once = true;
            return match failure.kind {
                // A step that uses the provider has failed already. For other steps, this loses their own result.
                FailureKind::ProviderOutage => transient(),
                _ => state.inject_failure(failure, Some(cx.at), cx),
            };
        }
        if done && progress.stops < self.stops() && (progress.failed_once || failure.leaves_step_done()) {
            progress.stops += 1;
            return permanent();
        }
        if done && !progress.failed_once && failure.timing == Timing::Unrecorded {
            return state.inject_failure(failure, Some(cx.at), cx);
        }
        if self.ends_here(state, cx) { permanent() } else { Fault::None }
    }

    /// Returns true if this is the last step of a saga whose planned end is an undo. The step then fails. If it is done
    /// before it could fail, the test cancels the completed saga.
    fn ends_here(&self, state: &State, cx: Context<'_>) -> bool {
        let failed_once = self.plan.failures[cx.at].is_none() || state.steps[cx.at].failed_once;
        let others =
            state.steps.iter().enumerate().all(|(other, progress)| other == cx.at || progress.recorded);
        self.is_undone() && cx.now.result == Some(AttemptResult::Done) && failed_once && others
    }

    fn during_undo(&self, progress: &mut StepProgress, failure: Failure, cx: Context<'_>) -> Fault {
        let fails = self.plan.aftermath == Aftermath::UndoFails;
        progress.undo_attempts += usize::from(cx.now.phase == StepPhase::AfterIntent);
        match cx.now.phase {
            StepPhase::AfterIntent if fails && progress.undo_attempts == 1 => transient(),
            StepPhase::AfterIntent if !fails => Fault::RunTwice,
            StepPhase::AfterEffect if fails && progress.undo_attempts == 2 => match failure.kind {
                FailureKind::ProcessKilled => Fault::Crash,
                FailureKind::DatabaseDropped => {
                    cx.injector.drop_connections(cx.now.saga);
                    transient()
                }
                FailureKind::ProviderOutage => transient(),
            },
            StepPhase::AfterEffect => {
                progress.undone |=
                    cx.now.result == Some(AttemptResult::Done) && (!fails || progress.undo_attempts > 2);
                Fault::None
            }
            _ => Fault::None,
        }
    }
}

impl State {
    fn before_intent(&mut self, failure: Failure, cx: Context<'_>) -> Fault {
        if failure.timing == Timing::BeforeIntent && !self.steps[cx.at].failed_once {
            return self.inject_failure(failure, Some(cx.at), cx);
        }
        Fault::None
    }

    fn after_record(&mut self, failure: Option<Failure>, cx: Context<'_>) -> Fault {
        if cx.now.result != Some(AttemptResult::Done) {
            return Fault::None;
        }
        let progress = &mut self.steps[cx.at];
        progress.recorded = true;
        match failure.filter(|failure| failure.timing == Timing::Unacknowledged && !progress.failed_once) {
            Some(failure) => self.inject_failure(failure, None, cx),
            None => Fault::None,
        }
    }

    /// Injects the failure. An outage of the provider affects the next attempt of `step`, or of any step.
    fn inject_failure(&mut self, failure: Failure, step: Option<usize>, cx: Context<'_>) -> Fault {
        self.steps[cx.at].failed_once = true;
        if cx.cancels {
            cx.injector.cancel(cx.now.saga);
        }
        match failure.kind {
            FailureKind::ProcessKilled => return Fault::Crash,
            FailureKind::DatabaseDropped => cx.injector.drop_connections(cx.now.saga),
            FailureKind::ProviderOutage => self.start_outage(step, unavailable(), cx),
        }
        Fault::None
    }

    fn start_outage(&mut self, step: Option<usize>, action: Action, cx: Context<'_>) {
        self.outage = Some(Outage { step, attempts: 0 });
        cx.injector.start_outage(cx.now.saga, action);
    }

    /// Ends the outage when an attempt has met it. An attempt that only waits may not have called the provider.
    fn end_outage(&mut self, cx: Context<'_>) {
        let ours = |outage: &&mut Outage| outage.step.is_none_or(|step| step == cx.at);
        let Some(outage) = self.outage.as_mut().filter(ours) else { return };
        outage.attempts += 1;
        if cx.now.result != Some(AttemptResult::Waiting) || outage.attempts > 1 {
            self.outage = None;
            cx.injector.end_outage(&cx.now.saga.subject);
        }
    }
}
