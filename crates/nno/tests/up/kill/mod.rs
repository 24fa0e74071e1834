//! The real process, killed at every boundary of every step of every saga: of all kinds at once, so that one death serves
//! them all. The steps are those of the definitions, and a kind that is new has to say how it is begun.

mod gate;
mod kinds;

use saga::Outline;

use self::{gate::Gates, kinds::Town};
use crate::system::{Place, eventually};

/// What is begun now is of the newest version.
fn newest(outlines: Vec<Outline>) -> Vec<Outline> {
    let is_newest =
        |one: &Outline| !outlines.iter().any(|other| other.kind == one.kind && other.version > one.version);
    outlines.iter().filter(|one| is_newest(one)).cloned().collect()
}

#[tokio::test]
async fn killed_at_every_step_of_every_saga() {
    let place = Place::new();
    let mut up = place.up().await;
    let town = Town::prepare(&up).await;
    let (onboardings, jobs) = (newest(onboarding::outlines()), newest(provisioning::outlines()));
    let open =
        async || [Gates::open(&place, "nno_onboarding").await, Gates::open(&place, "nno_provisioning").await];
    let mut gates = open().await;
    for gates in &gates {
        gates.install().await;
    }
    for outline in &onboardings {
        gates[0].close(outline, None).await;
    }
    for outline in &jobs {
        gates[1].close(outline, Some(town.subject(outline.kind))).await;
    }
    let onboarding = town.onboard(&up).await;
    for outline in &jobs {
        town.begin(&up, outline.kind).await;
    }
    let (mut deaths, mut boundaries) = (0, 0);
    loop {
        let left = [gates[0].closed().await, gates[1].closed().await];
        if left.iter().all(|kinds| kinds.is_empty()) {
            break;
        }
        eventually(&format!("all of {left:?} are at a boundary"), async || {
            town.assert_no_mixture(&up).await;
            [gates[0].waiting().await, gates[1].waiting().await] == left
        })
        .await;
        up.kill().await;
        boundaries += gates[0].pass().await + gates[1].pass().await;
        deaths += 1;
        up = place.up().await;
        // PostgreSQL was started again, too.
        gates = open().await;
    }
    town.assert_onboarded(&place, &up, &onboarding).await;
    for outline in &jobs {
        town.assert_done(&place, &up, outline.kind).await;
    }
    let steps: usize = onboardings.iter().chain(&jobs).map(|outline| outline.steps.len()).sum();
    assert_eq!(boundaries, 2 * steps);
    println!("{boundaries} boundaries of steps met in {deaths} deaths of the process");
    up.stop().await;
}
