//! The crash matrix: every saga of onboarding and provisioning × every step × the time of a failure × its type × the
//! course after it. Each cell must end with every effect once or with all effects undone. The cells are derived from the
//! definitions, so a new step gets its cells. A new kind without a scenario fails the test.
//!
//! The tests print the number of cells. A cell that fails is repeated alone and reported by name.

mod cells;
mod failures;
mod features;
mod harness;
mod platforms;
mod run;
mod stacks;

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
    failures::{FailureInjector, blocking},
    harness::Harness,
    run::Run,
};

pub(crate) const ONBOARDING: &str = "onboarding";

/// The number of concurrent sagas. Most of them wait for a lease to expire.
const CONCURRENCY: usize = 32;
/// The time limit of one saga on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(150);

/// The number of failed sagas of which each cell is repeated alone.
const MAX_REPEATED: usize = 3;

/// A group of definitions that are tested in one system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Onboarding,
    Platforms,
    Features,
    Stacks,
}

fn outlines() -> Vec<Outline> {
    [onboarding::outlines(), provisioning::outlines()].concat()
}

impl Group {
    fn for_outline(outline: &Outline) -> Self {
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

/// Starts a saga, waits for its end and checks its effects.
async fn run_scenario(harness: &Harness, run: &Arc<Run>, slug: &str) {
    if run.plan.outline.kind == ONBOARDING {
        return platforms::onboard(harness, run, slug).await;
    }
    match JobType::parse(run.plan.outline.kind).expect("a kind with a scenario") {
        JobType::ProvisionPlatform => platforms::provision(harness, run, slug).await,
        JobType::DeprovisionPlatform => platforms::deprovision(harness, run, slug).await,
        JobType::ActivateFeature => features::activate(harness, run, slug).await,
        JobType::DeactivateFeature => features::deactivate(harness, run, slug).await,
        JobType::ActivateStack => stacks::upgrade(harness, run, slug).await,
        JobType::DeactivateStack => stacks::delete(harness, run, slug).await,
    }
}

/// Injects the planned failures into the armed sagas.
#[derive(Default)]
pub(crate) struct Matrix {
    pub(crate) injector: FailureInjector,
    runs: Mutex<HashMap<(String, String), Arc<Run>>>,
}

impl Matrix {
    /// Assigns the saga of this kind with this subject or slug to a run.
    pub(crate) fn arm(&self, run: &Arc<Run>, subject: &str) {
        let key = (run.plan.outline.kind.to_owned(), subject.to_owned());
        self.runs.lock().unwrap().insert(key, Arc::clone(run));
    }

    fn inject(&self, now: InjectionPoint<'_>) -> Fault {
        let subject = now.saga.input["slug"].as_str().unwrap_or(&now.saga.subject);
        let run = self.runs.lock().unwrap().get(&(now.saga.kind.clone(), subject.to_owned())).cloned();
        // Injection may block on the failure, or on another runner that has the same saga by mistake.
        run.map_or(Fault::None, |run| blocking(|| run.inject(now, &self.injector)))
    }

    fn fault_injector(self: &Arc<Self>) -> FaultInjector {
        let matrix = Arc::clone(self);
        Arc::new(move |now| matrix.inject(now))
    }
}

/// Runs one saga through its cells. Returns the cells that it missed.
async fn run_one(harness: Harness, plan: Plan, slug: String) -> Result<Vec<Plan>, String> {
    let run = Arc::new(Run::new(plan));
    let ended = {
        let (harness, run) = (harness.clone(), Arc::clone(&run));
        tokio::spawn(async move { timeout(TIMEOUT, run_scenario(&harness, &run, &slug)).await })
    };
    let error = match ended.await {
        Ok(Ok(())) => return Ok(run.missed()),
        Ok(Err(_)) => format!("the saga has not ended: {}", harness.state_of(&run).await),
        Err(panic) => {
            let panic = panic.into_panic();
            let text = panic.downcast_ref::<String>().cloned();
            text.unwrap_or_else(|| (*panic.downcast_ref::<&str>().unwrap_or(&"it panicked")).to_owned())
        }
    };
    Err(format!("{error}\n    {run:?}"))
}

/// The results of several sagas.
#[derive(Default)]
struct Results {
    missed: Vec<Plan>,
    failed: Vec<(Plan, String)>,
}

impl Results {
    /// A report of the failures.
    fn report(&self) -> String {
        let failed = self.failed.iter().map(|(plan, why)| format!("{plan}\n    {why}\n"));
        failed.chain(self.missed.iter().map(|plan| format!("{plan}\n    was missed\n"))).collect()
    }
}

/// Runs all plans concurrently.
async fn run_all(harness: &Harness, plans: Vec<Plan>, name: &str) -> Results {
    let (slots, mut runs) = (Arc::new(Semaphore::new(CONCURRENCY)), JoinSet::new());
    for (n, plan) in plans.into_iter().enumerate() {
        let (harness, slots, slug) = (harness.clone(), Arc::clone(&slots), format!("{name}-{n}"));
        runs.spawn(async move {
            let _slot = slots.acquire().await;
            (plan.clone(), run_one(harness, plan, slug).await)
        });
    }
    let mut results = Results::default();
    while let Some(run) = runs.join_next().await {
        match run.unwrap() {
            (_, Ok(missed)) => results.missed.extend(missed),
            (plan, Err(why)) => results.failed.push((plan, why)),
        }
    }
    results
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_ends_completed_or_undone(
    #[values(Group::Onboarding, Group::Platforms, Group::Features, Group::Stacks)] group: Group,
) {
    let outlines = outlines().into_iter().filter(|one| Group::for_outline(one) == group);
    let (all_cells, cancelling): (Vec<_>, Vec<_>) =
        outlines.map(|one| (Plan::all(&one), Plan::cancelling(&one))).unzip();
    let cells = all_cells.iter().flatten().map(Plan::cells).sum::<usize>();
    let plans = [all_cells.concat(), cancelling.concat()].concat();
    let sagas = plans.len();
    let harness = Harness::new().await;
    let results = run_all(&harness, plans, "run").await;
    // The failures of other sagas can make a saga miss a cell. Missed cells are run alone, like those that failed.
    let failed = results.failed.iter().take(MAX_REPEATED).flat_map(|(plan, _)| plan.each());
    let again: Vec<_> =
        failed.chain(results.missed.iter().cloned()).filter(|plan| plan.cells() > 0).collect();
    let alone = again.len();
    let repeated = run_all(&harness, again, "alone").await.report();
    assert!(results.failed.is_empty(), "{}alone:\n{repeated}", results.report());
    assert_eq!(repeated, "");
    assert_eq!(harness.system.provider.duplicates().await.unwrap(), [""; 0]);
    println!("crash matrix, {group:?}: {cells} cells passed, in {sagas} sagas and {alone} more");
}

#[test]
fn every_step_of_every_definition_has_all_cells() {
    let mut total = 0;
    for outline in outlines() {
        let plans = Plan::all(&outline);
        for (at, step) in outline.steps.iter().enumerate() {
            let mut cells: Vec<_> = plans
                .iter()
                .map(|plan| format!("{:?} {:?}", plan.aftermath, plan.failures[at].unwrap()))
                .collect();
            cells.sort_unstable();
            cells.dedup();
            assert_eq!(cells.len(), 5 * 3 * 3, "{} {step}", outline.kind);
            total += cells.len();
        }
    }
    println!("crash matrix: {total} cells in all");
}
