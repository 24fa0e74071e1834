//! Current activations of a stack's tenant, and how a switch to a release changes them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    activation::{Activation, ActivationEvent, ActivationKey},
    feature_status::FeatureTransition,
    release::{PlannedFeature, Release},
    stack::Stack,
};
use crate::{
    error::Result,
    id::{ActivationId, EntityId, JobId, PlatformId, StackId},
    name::Slug,
    resource::Environment,
    semver::Version,
};

/// Environment that the job of a stack deploys to.
const ENVIRONMENT: Environment = Environment::Prod;

/// Activations of the tenant that matter to a stack: those of the stack, and those of its features from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentActivations {
    own: Vec<Activation>,
    elsewhere: Vec<Activation>,
}

/// Activation before and after a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationChange {
    pub before: Option<Activation>,
    pub after: Activation,
    pub transition: FeatureTransition,
}

/// Versions of a feature's service around the job of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceVersions {
    pub feature: Slug,
    /// Version to run when the job is done; `None` if the service is to be taken down.
    #[serde(rename = "version")]
    pub after: Option<Version>,
    /// Version to run when the job is undone.
    #[serde(rename = "version_before")]
    pub before: Option<Version>,
}

impl CurrentActivations {
    /// Separates the activations of a tenant into those of `stack` and all others.
    pub fn new(stack: &StackId, activations: impl IntoIterator<Item = Activation>) -> Self {
        let (own, elsewhere) = activations.into_iter().partition(|one| one.stack == *stack);
        Self { own, elsewhere }
    }

    /// Leaves out the activations whose last job is not `job`.
    #[must_use]
    pub fn changed_by(mut self, job: Option<JobId>) -> Self {
        self.own.retain(|one| Some(one.job) == job);
        self.elsewhere.retain(|one| Some(one.job) == job);
        self
    }

    /// The activation of a feature, if a caller ever requested it or a stack deployed it.
    pub fn get(&self, feature: &Slug) -> Option<&Activation> {
        self.own.iter().chain(&self.elsewhere).find(|one| one.key.feature == *feature)
    }

    /// The features that run from the stack.
    pub fn running(&self) -> Vec<PlannedFeature> {
        self.own.iter().filter_map(Activation::running_feature).collect()
    }

    /// The features that the stack is to run in a release: the required ones, and those that run already. A feature
    /// that the tenant runs from elsewhere stays there.
    pub fn target(&self, release: &Release) -> Vec<PlannedFeature> {
        let elsewhere =
            |id: &Slug| self.elsewhere.iter().any(|one| one.key.feature == *id && one.status.has_resources());
        let runs = |id: &Slug| self.own.iter().any(|one| one.key.feature == *id && one.running.is_some());
        let features = release.features.iter().filter(|one| {
            let id = &one.feature.feature;
            !elsewhere(id) && (one.required || runs(id))
        });
        features.map(|one| one.feature.clone()).collect()
    }

    /// The versions of the services around a job that brings the stack to `release`. `others` are the versions that
    /// other entities run: a service never has a version below that of any entity that it serves.
    pub fn services(&self, release: &Release, others: &[(Slug, Version)]) -> Vec<ServiceVersions> {
        let mut services = BTreeMap::new();
        let service = |feature: &Slug| {
            let highest = others.iter().filter(|(id, _)| id == feature).map(|(_, version)| version).max();
            let (after, before) = (highest.cloned(), highest.cloned());
            ServiceVersions { feature: feature.clone(), after, before }
        };
        let with_service = |features: Vec<PlannedFeature>| features.into_iter().filter(|one| one.has_service);
        for PlannedFeature { feature, version, .. } in with_service(self.running()) {
            let one = services.entry(feature).or_insert_with_key(service);
            one.before = one.before.take().max(Some(version));
        }
        for PlannedFeature { feature, version, .. } in with_service(self.target(release)) {
            let one = services.entry(feature).or_insert_with_key(service);
            one.after = one.after.take().max(Some(version));
        }
        services.into_values().collect()
    }

    /// The changes that make the stack run exactly the features of `target`. `stack` is the stack after its job.
    ///
    /// # Errors
    /// [`crate::Kind::InvalidTransition`] if a job is changing a feature to remove.
    pub fn switch(
        &self,
        stack: &Stack,
        target: &[PlannedFeature],
        new_id: impl Fn() -> ActivationId,
        at: DateTime<Utc>,
    ) -> Result<Vec<ActivationChange>> {
        let job = stack.job.unwrap_or(JobId::from_uuid(Uuid::nil()));
        let deployed = target.iter().map(|feature| match self.get(&feature.feature) {
            Some(before) => {
                let (stack, feature) = (stack.id.clone(), feature.clone());
                ActivationChange::of(before, &ActivationEvent::Deployed { stack, feature, job }, at)
            }
            None => {
                let key = key(&stack.platform, &stack.tenant, &feature.feature);
                let after = Activation::deployed_new(new_id(), key, (&stack.id, feature), job, at);
                Ok(ActivationChange { before: None, after, transition: FeatureTransition::Complete })
            }
        });
        let stays = |one: &&Activation| target.iter().any(|feature| feature.feature == one.key.feature);
        let gone = self.own.iter().filter(|one| one.running.is_some()).filter(|one| !stays(one));
        let detached = gone.map(|one| ActivationChange::of(one, &ActivationEvent::Detached { job }, at));
        deployed.chain(detached).collect()
    }
}

impl ActivationChange {
    fn of(before: &Activation, event: &ActivationEvent, at: DateTime<Utc>) -> Result<Self> {
        let transition = before.transition(event).unwrap_or(FeatureTransition::Complete);
        Ok(Self { before: Some(before.clone()), after: before.apply(event, at)?, transition })
    }
}

fn key(platform: &PlatformId, entity: &EntityId, feature: &Slug) -> ActivationKey {
    ActivationKey {
        platform: platform.clone(),
        entity: entity.clone(),
        feature: feature.clone(),
        environment: ENVIRONMENT,
    }
}
