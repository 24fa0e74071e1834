//! One saga on its way through its cells.

use std::{
    sync::{Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use ::saga::{Moment, Point, Tried, Verdict};
use domain::{Error, Kind};
use provisioning::providers::fake::Action;
use uuid::Uuid;

use super::{
    cells::{Aftermath, Blow, Force, Plan, When},
    forces::{Forces, away, silent, unheard},
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

fn passing() -> Verdict {
    Verdict::Fail(Error::new(Kind::Upstream, "not now, on purpose"))
}

fn for_good() -> Verdict {
    Verdict::Fail(Error::new(Kind::Unprocessable, "broken on purpose"))
}

impl Run {
    pub(crate) fn new(plan: Plan) -> Self {
        let steps = vec![Track::default(); plan.outline.steps.len()];
        Self { plan, saga: OnceLock::new(), state: Mutex::new(State { steps, cut: None }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
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

    /// How often each step stops before it passes.
    fn stops(&self) -> usize {
        match self.plan.aftermath {
            _ if !self.plan.stops() => 0,
            Aftermath::RunTwice => 0,
            Aftermath::UndoTwice => 1,
            Aftermath::UndoFails => 2,
        }
    }

    pub(crate) fn meet(&self, now: Moment<'_>, forces: &Forces) -> Verdict {
        let _first = self.saga.set(now.saga.id);
        let at = self.plan.outline.steps.iter().position(|step| *step == now.step).expect("a step");
        let mut state = self.state();
        if now.point == Point::AfterEffect {
            lift(&mut state, at, now, forces);
        }
        let Some(blow) = self.plan.blows[at] else { return self.pass(&mut state, at, now, forces) };
        match (now.undo, now.point) {
            (true, _) => self.back(&mut state.steps[at], blow, now, forces),
            (false, Point::BeforeIntent) => self.before(&mut state, at, blow, now, forces),
            (false, Point::AfterIntent) => self.begun(&mut state, at, blow, now, forces),
            (false, Point::AfterEffect) => self.tried(&mut state, at, blow, now, forces),
            (false, Point::AfterRecord) => self.recorded(&mut state, at, Some(blow), now, forces),
        }
    }

    /// A step without a blow, of a saga that meets one cell alone.
    fn pass(&self, state: &mut State, at: usize, now: Moment<'_>, forces: &Forces) -> Verdict {
        match (now.undo, now.point) {
            (false, Point::AfterEffect) if self.ends_here(state, at, now) => for_good(),
            (false, Point::AfterRecord) => self.recorded(state, at, None, now, forces),
            _ => Verdict::Go,
        }
    }

    fn before(&self, state: &mut State, at: usize, blow: Blow, now: Moment<'_>, forces: &Forces) -> Verdict {
        if blow.when == When::BeforeIntent && !state.steps[at].struck {
            return strike(state, at, blow, Some(at), now, forces);
        }
        Verdict::Go
    }

    fn begun(&self, state: &mut State, at: usize, blow: Blow, now: Moment<'_>, forces: &Forces) -> Verdict {
        let track = &mut state.steps[at];
        let stopped = track.stops == self.stops();
        track.doubling = (self.plan.aftermath == Aftermath::RunTwice || self.plan.stops()) && stopped;
        let doubling = track.doubling;
        if !track.struck {
            match (blow.when, blow.force) {
                (When::AfterIntent, _) => match strike(state, at, blow, Some(at), now, forces) {
                    Verdict::Go => {}
                    dies => return dies,
                },
                (When::TimedOut, force) => {
                    track.striking = true;
                    if force == Force::ProviderCut {
                        cut(state, Some(at), silent(), now, forces);
                    }
                    return Verdict::TimeOut(SHORT);
                }
                (When::Unrecorded, Force::ProviderCut) => {
                    track.striking = true;
                    cut(state, Some(at), unheard(), now, forces);
                }
                _ => {}
            }
        }
        if doubling { Verdict::Twice } else { Verdict::Go }
    }

    fn tried(&self, state: &mut State, at: usize, blow: Blow, now: Moment<'_>, forces: &Forces) -> Verdict {
        let done = now.tried == Some(Tried::Done);
        let track = &mut state.steps[at];
        track.doubled |= track.doubling && done;
        if std::mem::take(&mut track.striking) {
            track.struck = true;
            return match (blow.when, blow.force) {
                // It has failed by now, unless it needs no provider: then it is its own answer that is lost.
                (_, Force::ProviderCut) => passing(),
                _ => strike(state, at, blow, Some(at), now, forces),
            };
        }
        let stops = done && track.stops < self.stops() && (track.struck || blow.leaves_it_done());
        if stops {
            track.stops += 1;
            return for_good();
        }
        if done && !track.struck && blow.when == When::Unrecorded {
            return strike(state, at, blow, Some(at), now, forces);
        }
        if self.ends_here(state, at, now) { for_good() } else { Verdict::Go }
    }

    /// Whether this is the last step to be done, of a saga that is to be undone: it fails. One that is done before it could
    /// fail is cancelled when the saga has completed.
    fn ends_here(&self, state: &State, at: usize, now: Moment<'_>) -> bool {
        let struck = self.plan.blows[at].is_none_or(|_| state.steps[at].struck);
        let others = state.steps.iter().enumerate().all(|(other, track)| other == at || track.recorded);
        self.is_undone() && now.tried == Some(Tried::Done) && struck && others
    }

    pub(crate) fn is_undone(&self) -> bool {
        self.plan.aftermath != Aftermath::RunTwice && !self.plan.stops()
    }

    fn recorded(
        &self,
        state: &mut State,
        at: usize,
        blow: Option<Blow>,
        now: Moment<'_>,
        forces: &Forces,
    ) -> Verdict {
        if now.tried != Some(Tried::Done) {
            return Verdict::Go;
        }
        state.steps[at].recorded = true;
        match blow {
            Some(blow) if blow.when == When::Unacknowledged && !state.steps[at].struck => {
                strike(state, at, blow, None, now, forces)
            }
            _ => Verdict::Go,
        }
    }

    fn back(&self, track: &mut Track, blow: Blow, now: Moment<'_>, forces: &Forces) -> Verdict {
        let fails = self.plan.aftermath == Aftermath::UndoFails;
        track.undo_tries += usize::from(now.point == Point::AfterIntent);
        match now.point {
            Point::AfterIntent if fails && track.undo_tries == 1 => passing(),
            Point::AfterIntent if !fails => Verdict::Twice,
            Point::AfterEffect if fails && track.undo_tries == 2 => match blow.force {
                Force::ProcessKilled => Verdict::Die,
                Force::DatabaseDropped => {
                    forces.drop_connections(now.saga);
                    passing()
                }
                Force::ProviderCut => passing(),
            },
            Point::AfterEffect => {
                track.undone |= now.tried == Some(Tried::Done) && (!fails || track.undo_tries > 2);
                Verdict::Go
            }
            _ => Verdict::Go,
        }
    }
}

/// The provider comes back when someone has met that it was away. A try that only waits may not have.
fn lift(state: &mut State, at: usize, now: Moment<'_>, forces: &Forces) {
    let Some(cut) = state.cut.as_mut().filter(|cut| cut.step.is_none_or(|step| step == at)) else { return };
    cut.tries += 1;
    if now.tried != Some(Tried::Waits) || cut.tries > 1 {
        state.cut = None;
        forces.lift(&now.saga.subject);
    }
}

fn cut(state: &mut State, step: Option<usize>, action: Action, now: Moment<'_>, forces: &Forces) {
    state.cut = Some(Cut { step, tries: 0 });
    forces.cut(now.saga, action);
}

/// The force strikes; a cut of the provider is for the next try of `step`, or of any.
fn strike(
    state: &mut State,
    at: usize,
    blow: Blow,
    step: Option<usize>,
    now: Moment<'_>,
    forces: &Forces,
) -> Verdict {
    state.steps[at].struck = true;
    match blow.force {
        Force::ProcessKilled => return Verdict::Die,
        Force::DatabaseDropped => forces.drop_connections(now.saga),
        Force::ProviderCut => cut(state, step, away(), now, forces),
    }
    Verdict::Go
}
