//! Kills the real process at every boundary of every step of every saga, of all kinds at once to save restarts. The steps
//! come from the saga definitions; a new kind of job has to be added to `kinds`.

mod gate;
mod kinds;

use saga::Outline;

use self::{gate::Gates, kinds::Scenario};
use crate::system::{TestSystem, eventually};

/// Returns the newest version of each outline, which new sagas use.
fn newest(outlines: Vec<Outline>) -> Vec<Outline> {
    let is_newest =
        |one: &Outline| !outlines.iter().any(|other| other.kind == one.kind && other.version > one.version);
    outlines.iter().filter(|one| is_newest(one)).cloned().collect()
}

#[tokio::test]
async fn every_saga_survives_a_kill_at_every_step() {
    let system = TestSystem::new();
    let mut up = system.start().await;
    let scenario = Scenario::prepare(&up).await;
    let (onboardings, jobs) = (newest(onboarding::outlines()), newest(provisioning::outlines()));
    let open = async || {
        [Gates::open(&system, "nno_onboarding").await, Gates::open(&system, "nno_provisioning").await]
    };
    let mut gates = open().await;
    for gates in &gates {
        gates.install().await;
    }
    for outline in &onboardings {
        gates[0].close(outline, None).await;
    }
    for outline in &jobs {
        gates[1].close(outline, Some(scenario.subject(outline.kind))).await;
    }
    let onboarding = scenario.onboard(&up).await;
    for outline in &jobs {
        scenario.start(&up, outline.kind).await;
    }
    let (mut kills, mut boundaries) = (0, 0);
    loop {
        let left = [gates[0].closed().await, gates[1].closed().await];
        if left.iter().all(|kinds| kinds.is_empty()) {
            break;
        }
        eventually(&format!("all of {left:?} are at a boundary"), async || {
            scenario.assert_no_mixture(&up).await;
            [gates[0].waiting().await, gates[1].waiting().await] == left
        })
        .await;
        up.kill().await;
        boundaries += gates[0].pass().await + gates[1].pass().await;
        kills += 1;
        up = system.start().await;
        // PostgreSQL was restarted too.
        gates = open().await;
    }
    scenario.assert_onboarded(&system, &up, &onboarding).await;
    for outline in &jobs {
        scenario.assert_done(&system, &up, outline.kind).await;
    }
    let steps: usize = onboardings.iter().chain(&jobs).map(|outline| outline.steps.len()).sum();
    assert_eq!(boundaries, 2 * steps);
    println!("killed the process {kills} times at {boundaries} step boundaries");
    up.stop().await;
}
