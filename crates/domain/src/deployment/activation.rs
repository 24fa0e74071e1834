//! Activation of a feature: its state, the events that change it, and the state after each event.

use chrono::{DateTime, Utc};

use super::{
    feature_status::{FeatureStatus, FeatureTransition, TRANSITIONS},
    release::PlannedFeature,
};
use crate::{
    error::Result,
    feature::default_package,
    id::{ActivationId, EntityId, JobId, PlatformId, StackId},
    name::Slug,
    resource::Environment,
    semver::Version,
};

/// Feature of an entity in an environment. Each has at most one activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationKey {
    pub platform: PlatformId,
    pub entity: EntityId,
    pub feature: Slug,
    pub environment: Environment,
}

/// State of a feature that an entity runs in an environment, ran, or is about to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    pub id: ActivationId,
    pub key: ActivationKey,
    /// Version of the last request.
    pub version: Version,
    /// Package of the last request.
    pub package: String,
    pub status: FeatureStatus,
    /// Reason why the last job failed.
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub requested_at: DateTime<Utc>,
    pub activated_at: Option<DateTime<Utc>>,
    pub deactivated_at: Option<DateTime<Utc>>,
    /// Job of the last request. A report about any other job changes nothing.
    pub job: JobId,
    /// Stack that owns the service of the feature.
    pub stack: StackId,
    pub has_service: bool,
    /// Version that runs and that the manifest shows, also while an upgrade is under way.
    pub running: Option<RunningFeature>,
    /// Last known address of the service.
    pub service_url: Option<String>,
    pub has_data: bool,
    /// Duration of the last activation that was completed by a job of its own, in milliseconds.
    pub took_ms: Option<i32>,
}

/// Version of a feature that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningFeature {
    pub version: Version,
    pub package: String,
}

/// Request to run a version of a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationRequest {
    pub version: Version,
    pub source: FeatureSource,
    pub job: JobId,
}

/// Properties of a feature that the stack defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureSource {
    pub stack: StackId,
    pub package: String,
    pub has_service: bool,
}

/// Type of a job that changes one activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureJobKind {
    Activate,
    Deactivate,
}

/// Report that a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureJobEnd {
    pub job: JobId,
    pub kind: FeatureJobKind,
    /// Reason why the job was undone; `None` if it is done.
    pub error: Option<String>,
    pub service_url: Option<String>,
    /// The job deleted the data of the feature.
    pub deleted_data: bool,
    /// Version that the entity ran before the job. It counts when a job is undone after its end.
    pub version_before: Option<Version>,
}

/// Event in the life of an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivationEvent {
    /// A caller requests a version of the feature.
    Requested(ActivationRequest),
    /// A caller requests the deactivation. Consoles stop showing the feature at once.
    DeactivationRequested {
        job: JobId,
    },
    /// A job that activates the feature began.
    JobBegan {
        job: JobId,
    },
    JobEnded(FeatureJobEnd),
    /// The job of a stack deployed the feature.
    Deployed {
        stack: StackId,
        feature: PlannedFeature,
        job: JobId,
    },
    /// The job of a stack ended, and the stack runs without the feature. Its data stays.
    Detached {
        job: JobId,
    },
    /// The stack of the feature was taken down, with its service and its data.
    StackRemoved {
        job: JobId,
    },
}

impl FeatureSource {
    /// The source of a feature that no stack of the tenant defines.
    pub fn without_stack(feature: &Slug) -> Self {
        Self { stack: StackId::default_stack(), package: default_package(feature), has_service: true }
    }
}

impl Activation {
    /// The first state, after a request.
    pub fn new(id: ActivationId, key: ActivationKey, request: ActivationRequest, at: DateTime<Utc>) -> Self {
        let ActivationRequest { version, source, job } = request;
        Self {
            id,
            key,
            version,
            package: source.package,
            status: FeatureStatus::Pending,
            error: None,
            created_at: at,
            updated_at: at,
            requested_at: at,
            activated_at: None,
            deactivated_at: None,
            job,
            stack: source.stack,
            has_service: source.has_service,
            running: None,
            service_url: None,
            has_data: false,
            took_ms: None,
        }
    }

    /// The first state, after the job of a stack deployed the feature.
    pub(super) fn deployed_new(
        id: ActivationId,
        key: ActivationKey,
        (stack, feature): (&StackId, &PlannedFeature),
        job: JobId,
        at: DateTime<Utc>,
    ) -> Self {
        let PlannedFeature { version, package, has_service, .. } = feature.clone();
        let source = FeatureSource { stack: stack.clone(), package, has_service };
        let requested = Self::new(id, key, ActivationRequest { version, source, job }, at);
        requested.running_from(stack, feature, job, at)
    }

    /// The transition that `event` makes; `None` if it does not change the status.
    pub fn transition(&self, event: &ActivationEvent) -> Option<FeatureTransition> {
        use ActivationEvent as E;
        use FeatureTransition as T;
        match event {
            E::Requested(request) => (request.job != self.job).then_some(T::Activate),
            E::DeactivationRequested { job } => (*job != self.job).then_some(T::Deactivate),
            E::JobBegan { job } => {
                (*job == self.job && self.status == FeatureStatus::Pending).then_some(T::Begin)
            }
            E::JobEnded(end) => self.transition_at_end(end),
            E::Deployed { .. } => Some(T::Complete),
            E::Detached { job } => {
                let detached = *job == self.job && self.status == FeatureStatus::Deactivated;
                (!detached).then_some(T::Remove)
            }
            E::StackRemoved { .. } => (self.status == FeatureStatus::Active).then_some(T::Remove),
        }
    }

    /// The state after `event`. An event that does not concern the activation any more leaves it unchanged.
    ///
    /// # Errors
    /// [`crate::Kind::InvalidTransition`].
    pub fn apply(&self, event: &ActivationEvent, at: DateTime<Utc>) -> Result<Self> {
        use ActivationEvent as E;
        let transition = self.transition(event);
        match (event, transition) {
            (E::StackRemoved { job }, _) => self.without_stack(*job, at),
            (_, None) => Ok(self.clone()),
            (E::Requested(request), _) => self.requested(request, at),
            (E::DeactivationRequested { job }, _) => self.deactivating(*job, at),
            (E::JobBegan { .. }, Some(transition)) => self.with_status(transition, at),
            (E::JobEnded(end), Some(transition)) => self.job_ended(end, transition, at),
            (E::Deployed { stack, feature, job }, _) => Ok(self.running_from(stack, feature, *job, at)),
            (E::Detached { job }, _) => self.detached(*job, at),
        }
    }

    /// Returns true if the feature is active in this version, or about to be.
    pub fn covers(&self, version: &Version) -> bool {
        self.version == *version && (self.status == FeatureStatus::Active || self.status.is_activating())
    }

    /// The feature as it runs.
    pub fn running_feature(&self) -> Option<PlannedFeature> {
        self.running.as_ref().map(|running| PlannedFeature {
            feature: self.key.feature.clone(),
            version: running.version.clone(),
            package: running.package.clone(),
            has_service: self.has_service,
            service_url: self.service_url.clone(),
        })
    }

    fn with_status(&self, transition: FeatureTransition, at: DateTime<Utc>) -> Result<Self> {
        Ok(Self { status: self.status.after(transition)?, updated_at: at, ..self.clone() })
    }

    fn requested(&self, request: &ActivationRequest, at: DateTime<Utc>) -> Result<Self> {
        let mut after = self.with_status(FeatureTransition::Activate, at)?;
        // A service that exists, or whose data exists, stays in its stack.
        if !self.status.has_resources() && !self.has_data {
            after.stack.clone_from(&request.source.stack);
            after.has_service = request.source.has_service;
        }
        after.version.clone_from(&request.version);
        after.package.clone_from(&request.source.package);
        (after.job, after.requested_at) = (request.job, at);
        (after.error, after.deactivated_at) = (None, None);
        Ok(after)
    }

    fn deactivating(&self, job: JobId, at: DateTime<Utc>) -> Result<Self> {
        let mut after = self.with_status(FeatureTransition::Deactivate, at)?;
        (after.job, after.requested_at) = (job, at);
        (after.error, after.running) = (None, None);
        Ok(after)
    }

    /// The version that ran before a job, if one ran. It still runs, unless the job was done before it was undone.
    fn version_before(&self, end: &FeatureJobEnd) -> Option<Version> {
        match self.status {
            FeatureStatus::Active => end.version_before.clone(),
            _ => self.running.as_ref().map(|running| running.version.clone()),
        }
    }

    fn transition_at_end(&self, end: &FeatureJobEnd) -> Option<FeatureTransition> {
        use FeatureTransition as T;
        let transition = match (end.kind, &end.error) {
            (FeatureJobKind::Activate, None) => T::Complete,
            (FeatureJobKind::Activate, Some(_)) if self.version_before(end).is_some() => T::Revert,
            (FeatureJobKind::Activate, Some(_)) => T::Fail,
            (FeatureJobKind::Deactivate, None) => T::Remove,
            (FeatureJobKind::Deactivate, Some(_)) => T::Restore,
        };
        // A request clears the error, so the same error of the same job was reported before.
        let reached = TRANSITIONS.iter().any(|(_, on, to)| (*on, *to) == (transition, self.status));
        let reported = self.error == end.error && (reached || end.error.is_some());
        (end.job == self.job && !reported).then_some(transition)
    }

    fn job_ended(
        &self,
        end: &FeatureJobEnd,
        transition: FeatureTransition,
        at: DateTime<Utc>,
    ) -> Result<Self> {
        let mut after = self.with_status(transition, at)?;
        after.error.clone_from(&end.error);
        match transition {
            FeatureTransition::Complete => after.complete(end),
            FeatureTransition::Revert => after.revert(self.version_before(end)),
            FeatureTransition::Remove => {
                after.deactivated_at = Some(at);
                after.has_data &= !end.deleted_data;
            }
            FeatureTransition::Restore => {
                after.deactivated_at = None;
                after.run();
            }
            _ => after.running = None,
        }
        Ok(after)
    }

    fn complete(&mut self, end: &FeatureJobEnd) {
        let took = (self.updated_at - self.requested_at).num_milliseconds().max(0);
        self.took_ms = Some(i32::try_from(took).unwrap_or(i32::MAX));
        (self.activated_at, self.deactivated_at) = (Some(self.updated_at), None);
        self.service_url.clone_from(&end.service_url);
        self.has_data |= self.has_service;
        self.run();
    }

    /// Restores the previous version as the running one.
    fn revert(&mut self, before: Option<Version>) {
        if let Some(running) = self.running.take_if(|running| Some(&running.version) == before.as_ref()) {
            self.package = running.package;
        }
        if let Some(version) = before {
            self.version = version;
        }
        self.run();
    }

    /// Records the requested version as the running one.
    fn run(&mut self) {
        self.running = Some(RunningFeature { version: self.version.clone(), package: self.package.clone() });
    }

    /// The state once a stack runs the feature. A stack may deploy a feature in any status.
    fn running_from(&self, stack: &StackId, feature: &PlannedFeature, job: JobId, at: DateTime<Utc>) -> Self {
        let running = RunningFeature { version: feature.version.clone(), package: feature.package.clone() };
        Self {
            version: running.version.clone(),
            package: running.package.clone(),
            status: FeatureStatus::Active,
            error: None,
            updated_at: at,
            requested_at: at,
            activated_at: Some(at),
            deactivated_at: None,
            job,
            stack: stack.clone(),
            has_service: feature.has_service,
            running: Some(running),
            service_url: feature.service_url.clone(),
            has_data: self.has_data || feature.has_service,
            // The duration of a stack's job is not that of an activation.
            took_ms: None,
            ..self.clone()
        }
    }

    fn detached(&self, job: JobId, at: DateTime<Utc>) -> Result<Self> {
        let mut after = self.deactivating(job, at)?.with_status(FeatureTransition::Remove, at)?;
        after.deactivated_at = Some(at);
        Ok(after)
    }

    fn without_stack(&self, job: JobId, at: DateTime<Utc>) -> Result<Self> {
        let mut after = match self.status {
            FeatureStatus::Active => self.detached(job, at)?,
            _ => self.clone(),
        };
        after.has_data = false;
        Ok(after)
    }
}
