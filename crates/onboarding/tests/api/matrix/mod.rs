//! The crash matrix: every saga of onboarding and provisioning × every step × when it is struck × by what × what becomes of
//! it then. Each cell ends with everything there once, or with all of it undone. The cells are made from the definitions:
//! a step that is new has its cells, and a kind that is new has no scenario, which fails.
//!
//! The tests print how many cells there are. One that fails is tried again alone, and named.

mod cells;
mod features;
mod forces;
mod platforms;
mod run;
mod stacks;
mod stage;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use ::saga::{Fault, FaultInjector, InjectionPoint, Outline};
use domain::job::JobType;
use rstest::rstest;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use self::{
    cells::Plan,
    forces::{Forces, waiting},
    run::Run,
    stage::Stage,
};

pub(crate) const ONBOARDING: &str = "onboarding";

/// The sagas that go on side by side; more wait for a death to be noticed than work.
const SIDE_BY_SIDE: usize = 32;
/// The longest that one of them takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);

/// Of the sagas that fail, so many have each of their cells tried by itself.
const TRIED_ALONE: usize = 3;

/// Which definitions are tried in one system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Onboarding,
    Platforms,
    Features,
    Stacks,
}

fn outlines() -> Vec<Outline> {
    [onboarding::outlines(), provisioning::outlines()].concat()
}

impl Part {
    fn of(outline: &Outline) -> Self {
        if outline.kind == ONBOARDING {
            return Self::Onboarding;
        }
        match JobType::parse(outline.kind).expect("a kind with a scenario") {
            JobType::ProvisionPlatform | JobType::DeprovisionPlatform => Self::Platforms,
            JobType::ActivateFeature | JobType::DeactivateFeature => Self::Features,
            JobType::ActivateStack | JobType::DeactivateStack => Self::Stacks,
        }
    }
}

/// Begins such a saga, waits for its end and looks at what it left.
async fn play(stage: &Stage, run: &Arc<Run>, slug: &str) {
    if run.plan.outline.kind == ONBOARDING {
        return platforms::onboard(stage, run, slug).await;
    }
    match JobType::parse(run.plan.outline.kind).expect("a kind with a scenario") {
        JobType::ProvisionPlatform => platforms::provision(stage, run, slug).await,
        JobType::DeprovisionPlatform => platforms::deprovision(stage, run, slug).await,
        JobType::ActivateFeature => features::activate(stage, run, slug).await,
        JobType::DeactivateFeature => features::deactivate(stage, run, slug).await,
        JobType::ActivateStack => stacks::upgrade(stage, run, slug).await,
        JobType::DeactivateStack => stacks::delete(stage, run, slug).await,
    }
}

/// What interferes with the sagas that were armed; all others pass.
#[derive(Default)]
pub(crate) struct Matrix {
    pub(crate) forces: Forces,
    runs: Mutex<HashMap<(String, String), Arc<Run>>>,
}

impl Matrix {
    /// The saga of this kind that is about `subject`, or has this slug, is a run's from now on.
    pub(crate) fn arm(&self, run: &Arc<Run>, subject: &str) {
        let key = (run.plan.outline.kind.to_owned(), subject.to_owned());
        self.runs.lock().unwrap().insert(key, Arc::clone(run));
    }

    fn meet(&self, now: InjectionPoint<'_>) -> Fault {
        let subject = now.saga.input["slug"].as_str().unwrap_or(&now.saga.subject);
        let run = self.runs.lock().unwrap().get(&(now.saga.kind.clone(), subject.to_owned())).cloned();
        // For the force, and for another runner that has the same saga by mistake.
        run.map_or(Fault::None, |run| waiting(|| run.meet(now, &self.forces)))
    }

    fn fault_injector(self: &Arc<Self>) -> FaultInjector {
        let matrix = Arc::clone(self);
        Arc::new(move |now| matrix.meet(now))
    }
}

/// One saga through its cells; gives those that it was kept from meeting.
async fn one(stage: Stage, plan: Plan, slug: String) -> Result<Vec<Plan>, String> {
    let run = Arc::new(Run::new(plan));
    let played = {
        let (stage, run) = (stage.clone(), Arc::clone(&run));
        tokio::spawn(async move { timeout(PATIENCE, play(&stage, &run, &slug)).await })
    };
    let said = match played.await {
        Ok(Ok(())) => return Ok(run.unmet()),
        Ok(Err(_)) => format!("it has not ended: {}", stage.told(&run).await),
        Err(panic) => {
            let panic = panic.into_panic();
            let text = panic.downcast_ref::<String>().cloned();
            text.unwrap_or_else(|| (*panic.downcast_ref::<&str>().unwrap_or(&"it panicked")).to_owned())
        }
    };
    Err(format!("{said}\n    {run:?}"))
}

/// What came of sagas.
#[derive(Default)]
struct Came {
    unmet: Vec<Plan>,
    failed: Vec<(Plan, String)>,
}

impl Came {
    /// What failed, for a person.
    fn told(&self) -> String {
        let failed = self.failed.iter().map(|(plan, why)| format!("{plan}\n    {why}\n"));
        failed.chain(self.unmet.iter().map(|plan| format!("{plan}\n    was not met\n"))).collect()
    }
}

/// All of them side by side.
async fn all(stage: &Stage, plans: Vec<Plan>, name: &str) -> Came {
    let (slots, mut runs) = (Arc::new(Semaphore::new(SIDE_BY_SIDE)), JoinSet::new());
    for (n, plan) in plans.into_iter().enumerate() {
        let (stage, slots, slug) = (stage.clone(), Arc::clone(&slots), format!("{name}-{n}"));
        runs.spawn(async move {
            let _slot = slots.acquire().await;
            (plan.clone(), one(stage, plan, slug).await)
        });
    }
    let mut came = Came::default();
    while let Some(run) = runs.join_next().await {
        match run.unwrap() {
            (_, Ok(unmet)) => came.unmet.extend(unmet),
            (plan, Err(why)) => came.failed.push((plan, why)),
        }
    }
    came
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_ends_well(
    #[values(Part::Onboarding, Part::Platforms, Part::Features, Part::Stacks)] part: Part,
) {
    let outlines = outlines().into_iter().filter(|one| Part::of(one) == part);
    let (all_cells, turning): (Vec<_>, Vec<_>) =
        outlines.map(|one| (Plan::all(&one), Plan::turning(&one))).unzip();
    let cells = all_cells.iter().flatten().map(Plan::cells).sum::<usize>();
    let plans = [all_cells.concat(), turning.concat()].concat();
    let sagas = plans.len();
    let stage = Stage::new().await;
    let came = all(&stage, plans, "run").await;
    // A saga may be kept from a cell by what strikes others. Then the cell is met by itself, as are those that failed.
    let failed = came.failed.iter().take(TRIED_ALONE).flat_map(|(plan, _)| plan.each());
    let again: Vec<_> = failed.chain(came.unmet.iter().cloned()).filter(|plan| plan.cells() > 0).collect();
    let alone = again.len();
    let by_itself = all(&stage, again, "alone").await.told();
    assert!(came.failed.is_empty(), "{}by themselves:\n{by_itself}", came.told());
    assert_eq!(by_itself, "");
    assert_eq!(stage.system.provider.duplicates().await.unwrap(), [""; 0]);
    println!("crash matrix, {part:?}: {cells} cells passed, in {sagas} sagas and {alone} more");
}

#[test]
fn every_step_of_every_definition_has_its_cells() {
    let mut total = 0;
    for outline in outlines() {
        let plans = Plan::all(&outline);
        for (at, step) in outline.steps.iter().enumerate() {
            let mut met: Vec<_> = plans
                .iter()
                .map(|plan| format!("{:?} {:?}", plan.aftermath, plan.blows[at].unwrap()))
                .collect();
            met.sort_unstable();
            met.dedup();
            assert_eq!(met.len(), 5 * 3 * 3, "{} {step}", outline.kind);
            total += met.len();
        }
    }
    println!("crash matrix: {total} cells in all");
}
