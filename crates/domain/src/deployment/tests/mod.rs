//! Properties of the lifecycle, for random sequences of events.

mod activation;
mod stack;
mod switch;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use uuid::Uuid;

use super::{PlannedFeature, Release, ReleaseFeature};
use crate::{
    id::{ActivationId, EntityId, JobId, PlatformId, StackId},
    name::Slug,
    resource::ResourceType,
    semver::Version,
    stack::SHARABLE,
};

/// Ids of the features that the tests choose from.
const FEATURES: [&str; 5] = ["auth", "cart", "pay", "search", "wish"];

/// The time `seconds` after the epoch.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn job(number: u128) -> JobId {
    JobId::from_uuid(Uuid::from_u128(number))
}

fn activation_id(number: u128) -> ActivationId {
    ActivationId::from_uuid(Uuid::from_u128(number))
}

fn version(major: u8) -> Version {
    Version::parse(&format!("{major}.0.0")).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn platform() -> PlatformId {
    PlatformId::parse("platform01").unwrap()
}

fn tenant() -> EntityId {
    EntityId::parse("tenant0001").unwrap()
}

fn stack_id() -> StackId {
    StackId::parse("stack00001").unwrap()
}

fn planned(feature: &str, major: u8, has_service: bool) -> PlannedFeature {
    PlannedFeature {
        feature: slug(feature),
        version: version(major),
        package: format!("@shop/{feature}"),
        has_service,
        service_url: None,
    }
}

fn any_planned() -> impl Strategy<Value = PlannedFeature> {
    (0..FEATURES.len(), 1..4u8, any::<bool>())
        .prop_map(|(feature, major, has_service)| planned(FEATURES[feature], major, has_service))
}

fn any_shared() -> impl Strategy<Value = Vec<ResourceType>> {
    proptest::sample::subsequence(SHARABLE.to_vec(), 0..=4)
}

fn any_release() -> impl Strategy<Value = Release> {
    let feature =
        (any_planned(), any::<bool>()).prop_map(|(feature, required)| ReleaseFeature { feature, required });
    (1..4u8, proptest::collection::vec(feature, 0..6), any_shared()).prop_map(
        |(major, mut features, shared)| {
            features.sort_by(|one, other| one.feature.feature.cmp(&other.feature.feature));
            features.dedup_by(|one, other| one.feature.feature == other.feature.feature);
            Release { version: version(major), features, shared }
        },
    )
}
