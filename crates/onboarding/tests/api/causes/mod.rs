//! Everything that keeps a thing from being ready, injected for real: `explain` names it each time.
//!
//! The causes are tables, one to a group; the causes of a group have one system, one after the other.

mod domains;
mod features;
mod people;
mod provider;
mod scene;
mod services;
mod templates;

use std::collections::BTreeSet;

use rstest::rstest;

use self::scene::{Cause, Scene};

/// All groups of causes.
const GROUPS: [fn() -> Vec<Cause>; 6] = [
    provider::causes,
    people::causes,
    services::causes,
    features::causes,
    templates::causes,
    domains::causes,
];

#[rstest]
#[case::the_provider(provider::causes)]
#[case::people_and_processes(people::causes)]
#[case::services(services::causes)]
#[case::features_and_stacks(features::causes)]
#[case::templates(templates::causes)]
#[case::domains(domains::causes)]
#[tokio::test]
async fn each_cause_is_named(#[case] causes: fn() -> Vec<Cause>) {
    let mut scene = Scene::start().await;
    for cause in causes() {
        scene.play(cause).await;
    }
}

#[test]
fn there_are_more_than_forty() {
    let causes: Vec<Cause> = GROUPS.iter().flat_map(|causes| causes()).collect();
    let names: BTreeSet<&str> = causes.iter().map(|cause| cause.name).collect();
    assert_eq!(names.len(), causes.len(), "each is another");
    assert!(names.len() > 40, "{}", names.len());
}
