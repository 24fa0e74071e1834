//! The cells, made from the outlines: a step that is new has its cells.

use std::fmt;

use ::saga::{OnFailure, Outline};

/// When the force strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    BeforeIntent,
    AfterIntent,
    /// The effect was begun and took too long: whether it is there nobody knows.
    TimedOut,
    /// The effect is there, unrecorded.
    Unrecorded,
    /// The effect is recorded, and the runner does not learn it.
    Unacknowledged,
}

/// What strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    /// The runner is gone, as with its process.
    ProcessKilled,
    /// Every connection to the database of the service.
    DatabaseDropped,
    /// The provider fails, hangs or loses its answers, for one platform.
    ProviderCut,
}

/// What becomes of the step when it was struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aftermath {
    /// It is done twice, and the saga completes.
    RunTwice,
    /// The saga fails for good or is cancelled, and the step is undone twice. A saga that is not undone, but stops, has the
    /// step stop once, be retried, and be done twice.
    UndoTwice,
    /// The same, and undoing fails: once before its effect, and once after it, by the force if that can be. A saga that
    /// stops has the step stop twice.
    UndoFails,
}

const WHEN: [When; 5] =
    [When::BeforeIntent, When::AfterIntent, When::TimedOut, When::Unrecorded, When::Unacknowledged];
const FORCES: [Force; 3] = [Force::ProcessKilled, Force::DatabaseDropped, Force::ProviderCut];
const AFTERMATHS: [Aftermath; 3] = [Aftermath::RunTwice, Aftermath::UndoTwice, Aftermath::UndoFails];

/// What strikes a step, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blow {
    pub(crate) when: When,
    pub(crate) force: Force,
}

/// What one saga is to meet: at each step, or at one alone.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) outline: Outline,
    pub(crate) aftermath: Aftermath,
    /// By the place of the step.
    pub(crate) blows: Vec<Option<Blow>>,
    /// Whether it is cancelled as it is struck: what it may have done at that step is undone unrecorded.
    pub(crate) turns: bool,
}

impl Blow {
    /// Whether the step is on record as done when it is struck, and not tried again.
    pub(crate) fn leaves_it_done(self) -> bool {
        let rewritten = self.when == When::Unrecorded && self.force == Force::DatabaseDropped;
        rewritten || self.when == When::Unacknowledged
    }
}

impl Plan {
    /// The fewest sagas that meet all cells of a kind: as in a Latin square each step meets in each of them something else.
    pub(crate) fn all(outline: &Outline) -> Vec<Self> {
        let sagas = |aftermath| {
            (0..WHEN.len() * FORCES.len()).map(move |saga| {
                // The numbers of moments and of forces have no common divisor: so both may turn at once.
                let blow = |step| Blow {
                    when: WHEN[(saga + step) % WHEN.len()],
                    force: FORCES[(saga + step) % FORCES.len()],
                };
                let blows = (0..outline.steps.len()).map(|step| Some(blow(step))).collect();
                Self { outline: outline.clone(), aftermath, blows, turns: false }
            })
        };
        AFTERMATHS.into_iter().flat_map(sagas).collect()
    }

    /// Sagas that go no further than the step that they are struck at, where its effect may be there: in those above a step
    /// is done before it is undone. What is never undone is left out.
    pub(crate) fn turning(outline: &Outline) -> Vec<Self> {
        let steps = if outline.on_failure == OnFailure::Undo { outline.steps.len() } else { 0 };
        let turning = |step: usize, when| {
            let mut blows = vec![None; steps];
            blows[step] = Some(Blow { when, force: Force::ProcessKilled });
            Self { outline: outline.clone(), aftermath: Aftermath::UndoTwice, blows, turns: true }
        };
        let moments = [When::AfterIntent, When::TimedOut, When::Unrecorded];
        (0..steps).flat_map(|step| moments.map(|when| turning(step, when))).collect()
    }

    /// The same cells, one to a saga: to find the one that fails.
    pub(crate) fn each(&self) -> Vec<Self> {
        let only = |at| {
            let mut alone = self.clone();
            alone.blows.iter_mut().enumerate().for_each(|(other, blow)| *blow = blow.filter(|_| at == other));
            alone
        };
        (0..self.blows.len()).map(only).collect()
    }

    pub(crate) fn cells(&self) -> usize {
        self.blows.iter().flatten().count()
    }

    /// Whether it stops where others are undone.
    pub(crate) fn stops(&self) -> bool {
        self.outline.on_failure == OnFailure::Stop
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}, {:?}:", self.outline.kind, self.outline.version, self.aftermath)?;
        if self.turns {
            write!(f, " cancelled at")?;
        }
        for (step, blow) in self.outline.steps.iter().zip(&self.blows) {
            if let Some(Blow { when, force }) = blow {
                write!(f, " {step} {when:?} {force:?};")?;
            }
        }
        Ok(())
    }
}
