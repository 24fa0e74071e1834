use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    FEATURES, activation_id, any_release, any_shared, at, job, planned, platform, slug, stack, stack_id,
    tenant, version,
};
use crate::{
    deployment::{
        Activation, ActivationChange, ActivationEvent, ActivationKey, CurrentActivations, PlanItem,
        PlanItemKind, PlannedFeature, Release, ReleaseFeature, ServiceVersions, Stack, StackEvent,
        VersionWithInputs,
    },
    id::StackId,
    resource::{Environment, ResourceType},
};

/// History of the activation of a feature.
#[derive(Debug, Clone, Copy)]
enum Past {
    None,
    /// It runs from the stack, or from the default stack.
    Runs {
        own: bool,
        major: u8,
        has_service: bool,
    },
    /// It ran, and was deactivated.
    Ran {
        own: bool,
    },
}

fn any_past() -> impl Strategy<Value = Past> {
    prop_oneof![
        Just(Past::None),
        (any::<bool>(), 1..4u8, any::<bool>()).prop_map(|(own, major, has_service)| Past::Runs {
            own,
            major,
            has_service
        }),
        any::<bool>().prop_map(|own| Past::Ran { own }),
    ]
}

fn activation(feature: &str, past: Past) -> Option<Activation> {
    let key = ActivationKey {
        platform: platform(),
        entity: tenant(),
        feature: slug(feature),
        environment: Environment::Prod,
    };
    let deployed = |own: bool, feature: &PlannedFeature| {
        let stack = if own { stack_id() } else { StackId::default_stack() };
        Activation::deployed_new(activation_id(100), key.clone(), (&stack, feature), job(1), at(0))
    };
    match past {
        Past::None => None,
        Past::Runs { own, major, has_service } => Some(deployed(own, &planned(feature, major, has_service))),
        Past::Ran { own } => {
            let event = ActivationEvent::Detached { job: job(2) };
            Some(deployed(own, &planned(feature, 1, true)).apply(&event, at(1)).unwrap())
        }
    }
}

fn any_activations() -> impl Strategy<Value = Vec<Activation>> {
    proptest::collection::vec(any_past(), FEATURES.len()).prop_map(|pasts| {
        FEATURES.iter().zip(pasts).filter_map(|(feature, past)| activation(feature, past)).collect()
    })
}

fn current(activations: &[Activation]) -> CurrentActivations {
    CurrentActivations::new(&stack_id(), activations.to_vec())
}

/// An active stack, and the same once job 5 has begun to bring it to a release.
fn changing(shared: Vec<ResourceType>, release: &Release) -> (Stack, Stack) {
    let before = Stack { shared, ..stack::active() };
    let inputs = serde_json::Map::new();
    let version = VersionWithInputs { version: release.version.clone(), inputs };
    let target = crate::deployment::Target { version, is_rollback: false };
    let requested = before.apply(&StackEvent::Requested { target, job: job(5) }, at(10)).unwrap();
    let begun = requested.apply(&StackEvent::JobBegan { job: job(5) }, at(11)).unwrap();
    (before, begun)
}

fn updated(activations: &[Activation], changes: &[ActivationChange]) -> Vec<Activation> {
    let unchanged = |one: &&Activation| !changes.iter().any(|change| change.after.key == one.key);
    let after = changes.iter().map(|change| change.after.clone());
    activations.iter().filter(unchanged).cloned().chain(after).collect()
}

/// The versions that run, by the names that items of a plan have.
fn contents(
    features: &[PlannedFeature],
    shared: &[ResourceType],
) -> BTreeMap<(bool, String), Option<String>> {
    let features =
        features.iter().map(|one| ((true, one.feature.to_string()), Some(one.version.to_string())));
    features.chain(shared.iter().map(|kind| ((false, kind.to_string()), None))).collect()
}

fn item_key(item: &PlanItem) -> (bool, String) {
    (item.kind == PlanItemKind::Feature, item.id.clone())
}

fn sorted(mut features: Vec<PlannedFeature>) -> Vec<PlannedFeature> {
    features.sort_by(|one, other| one.feature.cmp(&other.feature));
    features
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_items_of_a_plan_lead_to_the_target(
        activations in any_activations(), shared in any_shared(), release in any_release(),
    ) {
        let current = current(&activations);
        let plan = Stack { shared: shared.clone(), ..stack::active() }.plan(&current, &release);
        let mut runs = contents(&current.running(), &shared);
        for item in plan.changed.iter().chain(&plan.removed) {
            prop_assert_eq!(runs.remove(&item_key(item)), Some(item.from.clone()));
        }
        for item in plan.added.iter().chain(&plan.changed) {
            prop_assert_eq!(runs.insert(item_key(item), item.to.clone()), None);
        }
        prop_assert_eq!(runs, contents(&current.target(&release), &release.shared));
    }

    #[test]
    fn the_plan_after_a_switch_is_empty(
        activations in any_activations(), shared in any_shared(), release in any_release(),
    ) {
        let (_, begun) = changing(shared, &release);
        let before = current(&activations);
        let target = before.target(&release);
        let (shared, features_before) = (release.shared.clone(), before.running());
        let event = StackEvent::JobCompleted { job: job(5), shared, features_before };
        let done = begun.apply(&event, at(12)).unwrap();
        let changes = before.switch(&done, &target, || activation_id(101), at(12)).unwrap();
        let after = current(&updated(&activations, &changes));
        prop_assert_eq!(sorted(after.running()), sorted(target.clone()));
        prop_assert!(done.plan(&after, &release).is_empty());

        let again = after.switch(&done, &target, || activation_id(101), at(12)).unwrap();
        prop_assert!(again.iter().all(|change| change.before.as_ref() == Some(&change.after)));
    }

    #[test]
    fn a_job_undone_after_its_switch_brings_back_what_ran(
        activations in any_activations(), shared in any_shared(), release in any_release(),
    ) {
        let (ran, begun) = changing(shared, &release);
        let before = current(&activations);
        let (shared, features_before) = (release.shared.clone(), before.running());
        let event = StackEvent::JobCompleted { job: job(5), shared, features_before };
        let done = begun.apply(&event, at(12)).unwrap();
        let changes = before.switch(&done, &before.target(&release), || activation_id(101), at(12)).unwrap();
        let switched = updated(&activations, &changes);

        let replaced = done.replaced.clone().unwrap();
        let undone = done.apply(&StackEvent::JobFailed { job: job(5), error: "no".to_owned() }, at(13)).unwrap();
        let affected = current(&switched).changed_by(done.job);
        let changes = affected.switch(&undone, &replaced.features, || activation_id(102), at(13)).unwrap();
        let after = current(&updated(&switched, &changes));
        prop_assert_eq!(sorted(after.running()), sorted(before.running()));
        prop_assert_eq!((undone.version(), undone.shared), (ran.version(), ran.shared));
    }

    #[test]
    fn no_entity_is_served_by_a_version_below_its_own(
        activations in any_activations(), release in any_release(),
        others in proptest::collection::vec((0..FEATURES.len(), 1..4u8), 0..4),
    ) {
        let others: Vec<_> = others.iter().map(|(one, major)| (slug(FEATURES[*one]), version(*major))).collect();
        let current = current(&activations);
        let services = current.services(&release, &others);
        for ServiceVersions { feature, after, before } in &services {
            for (_, version) in others.iter().filter(|(id, _)| id == feature) {
                prop_assert!(after.as_ref() >= Some(version) && before.as_ref() >= Some(version));
            }
        }
        let find = |id: &PlannedFeature| services.iter().find(|one| one.feature == id.feature);
        for one in current.running().iter().filter(|one| one.has_service) {
            prop_assert!(find(one).unwrap().before.as_ref() >= Some(&one.version));
        }
        for one in current.target(&release).iter().filter(|one| one.has_service) {
            prop_assert!(find(one).unwrap().after.as_ref() >= Some(&one.version));
        }
    }
}

fn release(features: &[(&str, bool)]) -> Release {
    let feature =
        |(id, required): &(&str, bool)| ReleaseFeature { feature: planned(id, 2, true), required: *required };
    Release { version: version(2), features: features.iter().map(feature).collect(), shared: Vec::new() }
}

#[test]
fn a_release_brings_the_required_features_and_those_that_run() {
    let runs = |feature, own| activation(feature, Past::Runs { own, major: 1, has_service: true }).unwrap();
    let activations = [runs("auth", false), runs("cart", true), runs("wish", true)];
    let release = release(&[("auth", true), ("cart", false), ("pay", true), ("search", false)]);
    let target = current(&activations).target(&release);
    let ids: Vec<_> = target.iter().map(|one| one.feature.as_str()).collect();
    assert_eq!(ids, ["cart", "pay"], "auth runs elsewhere, and nobody requested search");
}

#[test]
fn a_plan_lists_features_before_resources() {
    let stack = Stack { shared: vec![ResourceType::R2], ..stack::active() };
    let activations = [activation("wish", Past::Runs { own: true, major: 1, has_service: true }).unwrap()];
    let release = Release { shared: vec![ResourceType::D1], ..release(&[("cart", true)]) };
    let plan = stack.plan(&current(&activations), &release);
    let ids = |items: &[PlanItem]| items.iter().map(|item| item.id.clone()).collect::<Vec<_>>();
    assert_eq!(
        (ids(&plan.added), ids(&plan.removed)),
        (vec!["cart".into(), "d1".into()], vec!["wish".into(), "r2".into()])
    );
    assert_eq!((plan.from.clone(), plan.to.clone()), (Some(version(1)), version(2)));
    let other = StackId::parse("stack00002").unwrap();
    assert_eq!(plan.hash(&stack.id).unwrap().len(), 64);
    assert_ne!(plan.hash(&stack.id).unwrap(), plan.hash(&other).unwrap());
}

#[test]
fn a_different_package_is_a_change() {
    let runs = activation("cart", Past::Runs { own: true, major: 2, has_service: true }).unwrap();
    let mut release = release(&[("cart", true)]);
    release.features[0].feature.package = "@shop/cart-next".to_owned();
    let plan = stack::active().plan(&current(&[runs]), &release);
    let item = plan.changed.first().unwrap();
    assert_eq!((item.from.as_deref(), item.to.as_deref()), (Some("2.0.0"), Some("2.0.0")));
}

#[test]
fn only_what_the_job_changed_is_switched_back() {
    let runs = |feature| activation(feature, Past::Runs { own: true, major: 1, has_service: true }).unwrap();
    let later = Activation { job: job(6), ..runs("pay") };
    let affected = current(&[runs("cart"), later]).changed_by(Some(job(1)));
    let ids: Vec<_> = affected.running().into_iter().map(|one| one.feature.to_string()).collect();
    assert_eq!(ids, ["cart"]);
    assert_eq!(affected.get(&slug("pay")), None);
}

#[test]
fn a_feature_that_is_being_changed_cannot_be_detached() {
    let runs = activation("cart", Past::Runs { own: true, major: 1, has_service: true }).unwrap();
    let source = crate::deployment::FeatureSource::without_stack(&slug("cart"));
    let request = crate::deployment::ActivationRequest { version: version(2), source, job: job(4) };
    let pending = runs.apply(&ActivationEvent::Requested(request), at(5)).unwrap();
    let error = current(&[pending]).switch(&stack::active(), &[], || activation_id(101), at(6)).unwrap_err();
    assert_eq!(error.kind(), crate::Kind::InvalidTransition);
}
