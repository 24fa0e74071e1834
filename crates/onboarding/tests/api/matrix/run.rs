//! One saga on its way through its cells.

use std::{
    sync::{Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use ::saga::{AttemptResult, Fault, InjectionPoint, StepPhase};
use domain::{Error, Kind};
use fake_provider::Action;
use uuid::Uuid;

use super::{
    cells::{Aftermath, Blow, Force, Plan, When},
    forces::{Forces, away, silent, unheard, waiting},
};

/// What a try is given that takes too long: its effect may be there by then, or not.
const SHORT: Duration = Duration::from_millis(60);

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) plan: Plan,
    /// The saga, once it was met.
    pub(crate) saga: OnceLock<Uuid>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    steps: Vec<Track>,
    cut: Option<Cut>,
}

/// How far a step is.
#[derive(Debug, Clone, Default)]
struct Track {
    struck: bool,
    /// The force is at work in the try under way.
    striking: bool,
    /// The try under way does everything twice.
    doubling: bool,
    doubled: bool,
    recorded: bool,
    stops: usize,
    undo_tries: usize,
    undone: bool,
}

/// The provider is cut off until a try has met that: of this step, or of any.
#[derive(Debug)]
struct Cut {
    step: Option<usize>,
    tries: usize,
}

/// A moment of a step, and what strikes.
#[derive(Clone, Copy)]
struct Met<'m> {
    at: usize,
    now: InjectionPoint<'m>,
    forces: &'m Forces,
    /// Whether the saga is cancelled as it is struck.
    turns: bool,
}

fn passing() -> Fault {
    Fault::Fail(Error::new(Kind::Upstream, "not now, on purpose"))
}

fn for_good() -> Fault {
    Fault::Fail(Error::new(Kind::Unprocessable, "broken on purpose"))
}

impl Run {
    pub(crate) fn new(plan: Plan) -> Self {
        let steps = vec![Track::default(); plan.outline.steps.len()];
        Self { plan, saga: OnceLock::new(), state: Mutex::new(State { steps, cut: None }) }
    }

    /// Held for as long as a force takes to strike.
    fn state(&self) -> MutexGuard<'_, State> {
        waiting(|| self.state.lock().unwrap())
    }

    /// The cells that were not met as they were planned.
    pub(crate) fn unmet(&self) -> Vec<Plan> {
        let state = self.state();
        let met = |track: &Track| match self.plan.aftermath {
            Aftermath::RunTwice => track.struck && track.doubled,
            _ if self.plan.stops() => track.struck && track.doubled && track.stops == self.stops(),
            _ => track.struck && track.undone,
        };
        let cells = self.plan.each().into_iter().zip(&state.steps);
        cells.filter(|(alone, track)| alone.cells() > 0 && !met(track)).map(|(alone, _)| alone).collect()
    }

    /// Whether the saga is to be undone in the end.
    pub(crate) fn is_undone(&self) -> bool {
        self.plan.aftermath != Aftermath::RunTwice && !self.plan.stops()
    }

    /// How often each step stops before it passes.
    fn stops(&self) -> usize {
        match self.plan.aftermath {
            Aftermath::UndoTwice if self.plan.stops() => 1,
            Aftermath::UndoFails if self.plan.stops() => 2,
            _ => 0,
        }
    }

    pub(crate) fn meet(&self, now: InjectionPoint<'_>, forces: &Forces) -> Fault {
        let _first = self.saga.set(now.saga.id);
        let at = self.plan.outline.steps.iter().position(|step| *step == now.step).expect("a step");
        let (mut state, met) = (self.state(), Met { at, now, forces, turns: self.plan.turns });
        if now.phase == StepPhase::AfterEffect {
            state.lift(met);
        }
        match (self.plan.blows[at], now.undo, now.phase) {
            // A saga that meets one cell alone.
            (None, false, StepPhase::AfterEffect) if self.ends_here(&state, met) => for_good(),
            (blow, false, StepPhase::AfterRecord) => state.recorded(blow, met),
            (None, ..) => Fault::None,
            (Some(blow), true, _) => self.back(&mut state.steps[at], blow, met),
            (Some(blow), false, StepPhase::BeforeIntent) => state.before(blow, met),
            (Some(blow), false, StepPhase::AfterIntent) => self.begun(&mut state, blow, met),
            (Some(blow), false, StepPhase::AfterEffect) => self.tried(&mut state, blow, met),
        }
    }

    fn begun(&self, state: &mut State, blow: Blow, met: Met<'_>) -> Fault {
        let (twice, track) = (self.plan.aftermath == Aftermath::RunTwice, &mut state.steps[met.at]);
        track.doubling = (twice || self.plan.stops()) && track.stops == self.stops();
        let go = if track.doubling { Fault::RunTwice } else { Fault::None };
        if track.struck {
            return go;
        }
        match (blow.when, blow.force) {
            (When::AfterIntent, _) => match state.strike(blow, Some(met.at), met) {
                Fault::None => go,
                dies => dies,
            },
            (When::TimedOut, force) => {
                track.striking = true;
                if force == Force::ProviderCut {
                    state.cut(Some(met.at), silent(), met);
                }
                Fault::TimeOut(SHORT)
            }
            (When::Unrecorded, Force::ProviderCut) => {
                track.striking = true;
                state.cut(Some(met.at), unheard(), met);
                go
            }
            _ => go,
        }
    }

    fn tried(&self, state: &mut State, blow: Blow, met: Met<'_>) -> Fault {
        let (done, track) = (met.now.result == Some(AttemptResult::Done), &mut state.steps[met.at]);
        track.doubled |= track.doubling && done;
        if std::mem::take(&mut track.striking) {
            track.struck = true;
            return match blow.force {
                // It has failed by now, unless it needs no provider: then it is its own answer that is lost.
                Force::ProviderCut => passing(),
                _ => state.strike(blow, Some(met.at), met),
            };
        }
        if done && track.stops < self.stops() && (track.struck || blow.leaves_it_done()) {
            track.stops += 1;
            return for_good();
        }
        if done && !track.struck && blow.when == When::Unrecorded {
            return state.strike(blow, Some(met.at), met);
        }
        if self.ends_here(state, met) { for_good() } else { Fault::None }
    }

    /// Whether this is the last step to be done, of a saga that is to be undone: it fails. One that is done before it could
    /// fail is cancelled when the saga has completed.
    fn ends_here(&self, state: &State, met: Met<'_>) -> bool {
        let struck = self.plan.blows[met.at].is_none() || state.steps[met.at].struck;
        let others = state.steps.iter().enumerate().all(|(other, track)| other == met.at || track.recorded);
        self.is_undone() && met.now.result == Some(AttemptResult::Done) && struck && others
    }

    fn back(&self, track: &mut Track, blow: Blow, met: Met<'_>) -> Fault {
        let fails = self.plan.aftermath == Aftermath::UndoFails;
        track.undo_tries += usize::from(met.now.phase == StepPhase::AfterIntent);
        match met.now.phase {
            StepPhase::AfterIntent if fails && track.undo_tries == 1 => passing(),
            StepPhase::AfterIntent if !fails => Fault::RunTwice,
            StepPhase::AfterEffect if fails && track.undo_tries == 2 => match blow.force {
                Force::ProcessKilled => Fault::Crash,
                Force::DatabaseDropped => {
                    met.forces.drop_connections(met.now.saga);
                    passing()
                }
                Force::ProviderCut => passing(),
            },
            StepPhase::AfterEffect => {
                track.undone |=
                    met.now.result == Some(AttemptResult::Done) && (!fails || track.undo_tries > 2);
                Fault::None
            }
            _ => Fault::None,
        }
    }
}

impl State {
    fn before(&mut self, blow: Blow, met: Met<'_>) -> Fault {
        if blow.when == When::BeforeIntent && !self.steps[met.at].struck {
            return self.strike(blow, Some(met.at), met);
        }
        Fault::None
    }

    fn recorded(&mut self, blow: Option<Blow>, met: Met<'_>) -> Fault {
        if met.now.result != Some(AttemptResult::Done) {
            return Fault::None;
        }
        let track = &mut self.steps[met.at];
        track.recorded = true;
        match blow.filter(|blow| blow.when == When::Unacknowledged && !track.struck) {
            Some(blow) => self.strike(blow, None, met),
            None => Fault::None,
        }
    }

    /// The force strikes; a cut of the provider is for the next try of `step`, or of any.
    fn strike(&mut self, blow: Blow, step: Option<usize>, met: Met<'_>) -> Fault {
        self.steps[met.at].struck = true;
        if met.turns {
            met.forces.cancel(met.now.saga);
        }
        match blow.force {
            Force::ProcessKilled => return Fault::Crash,
            Force::DatabaseDropped => met.forces.drop_connections(met.now.saga),
            Force::ProviderCut => self.cut(step, away(), met),
        }
        Fault::None
    }

    fn cut(&mut self, step: Option<usize>, action: Action, met: Met<'_>) {
        self.cut = Some(Cut { step, tries: 0 });
        met.forces.cut(met.now.saga, action);
    }

    /// The provider comes back when someone has met that it was away. A try that only waits may not have.
    fn lift(&mut self, met: Met<'_>) {
        let ours = |cut: &&mut Cut| cut.step.is_none_or(|step| step == met.at);
        let Some(cut) = self.cut.as_mut().filter(ours) else { return };
        cut.tries += 1;
        if met.now.result != Some(AttemptResult::Waiting) || cut.tries > 1 {
            self.cut = None;
            met.forces.lift(&met.now.saga.subject);
        }
    }
}
