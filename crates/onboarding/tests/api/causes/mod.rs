//! Tests of `explain` with every cause that can keep an object from being ready. Each cause is injected for real.
//!
//! Each group of causes is a table. The causes of a group run one after the other in one system.

mod domains;
mod features;
mod fixture;
mod people;
mod provider;
mod services;
mod templates;

use std::collections::BTreeSet;

use rstest::rstest;

use self::fixture::{Cause, Fixture};

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
async fn explain_names_each_cause(#[case] causes: fn() -> Vec<Cause>) {
    let mut fixture = Fixture::start().await;
    for cause in causes() {
        fixture.check(cause).await;
    }
}

#[test]
fn more_than_forty_different_causes_are_tested() {
    let causes: Vec<Cause> = GROUPS.iter().flat_map(|causes| causes()).collect();
    let names: BTreeSet<&str> = causes.iter().map(|cause| cause.name).collect();
    assert_eq!(names.len(), causes.len(), "names are unique");
    assert!(names.len() > 40, "{}", names.len());
}
