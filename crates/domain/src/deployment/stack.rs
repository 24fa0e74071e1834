//! Stack: its state, the events that change it, and the state after each event.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    current::CurrentActivations,
    plan::Plan,
    release::{PlannedFeature, Release},
    stack_status::{StackStatus, StackTransition},
};
use crate::{
    error::{Error, Kind, Result},
    id::{EntityId, JobId, PlatformId, StackId},
    name::Name,
    resource::ResourceType,
    semver::Version,
};

/// Inputs of a version, by the names of its schema.
pub type Inputs = Map<String, Value>;

/// State of a stack: a running instance of a template, or a custom one.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    pub id: StackId,
    pub platform: PlatformId,
    pub tenant: EntityId,
    pub name: Name,
    pub is_default: bool,
    pub repo_name: Option<Name>,
    /// `None` for a custom stack.
    pub template: Option<StackTemplate>,
    pub status: StackStatus,
    /// True if a version runs. Always true for a custom stack.
    pub is_running: bool,
    /// Reason why the last job failed.
    pub error: Option<String>,
    /// Job of the last request. A report about any other job changes nothing.
    pub job: Option<JobId>,
    /// Target of the job.
    pub target: Option<Target>,
    /// Version that a rollback goes back to.
    pub previous: Option<VersionWithInputs>,
    /// State that the last job replaced. It is restored if the job is undone after its end.
    pub replaced: Option<Replaced>,
    /// Types of resources that the features of the running version share.
    pub shared: Vec<ResourceType>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Template of a stack, and the version that it runs. If no version ever ran, the version that it is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct StackTemplate {
    pub id: String,
    pub name: String,
    pub version: Version,
    pub inputs: Option<Inputs>,
}

/// Version of a template with the inputs for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionWithInputs {
    pub version: Version,
    pub inputs: Inputs,
}

/// Target of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    #[serde(flatten)]
    pub version: VersionWithInputs,
    /// The target is the version before the last upgrade.
    #[serde(rename = "back")]
    pub is_rollback: bool,
}

/// State that a completed job replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replaced {
    /// Version that ran, if one did.
    #[serde(rename = "edition")]
    pub version: Option<VersionWithInputs>,
    pub previous: Option<VersionWithInputs>,
    pub shared: Vec<ResourceType>,
    /// Features that the tenant ran from the stack.
    #[serde(rename = "parts")]
    pub features: Vec<PlannedFeature>,
}

/// Properties of a new stack.
#[derive(Debug, Clone)]
pub struct NewStack {
    pub id: StackId,
    pub platform: PlatformId,
    pub tenant: EntityId,
    pub name: Name,
    pub is_default: bool,
    pub repo_name: Option<Name>,
    /// Template with the version to activate, and the job that does it. `None` creates a custom stack.
    pub template: Option<(StackTemplate, JobId)>,
}

/// Event in the life of a stack.
#[derive(Debug, Clone, PartialEq)]
pub enum StackEvent {
    /// A caller requests a different version, the same version again, or the previous one.
    Requested {
        target: Target,
        job: JobId,
    },
    JobBegan {
        job: JobId,
    },
    /// The job is done: the release runs.
    JobCompleted {
        job: JobId,
        /// Shared resources of the release.
        shared: Vec<ResourceType>,
        /// Features that ran before.
        features_before: Vec<PlannedFeature>,
    },
    /// The job is undone, before or after its end.
    JobFailed {
        job: JobId,
        error: String,
    },
    /// A caller deletes the stack; the job takes it down.
    Deleted {
        job: JobId,
    },
    /// The infrastructure of the platform was taken down.
    PlatformRemoved {
        reason: String,
    },
}

/// Effect of the end of a job on its stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum JobEffect<'a> {
    /// The job is not the last one requested, or its end was reported before.
    Unchanged,
    /// The target runs.
    Completed(&'a Target),
    /// The target never ran; the version before still runs.
    Failed,
    /// The target ran; the replaced version runs again.
    RolledBack(&'a Replaced),
}

impl StackTemplate {
    fn set(&mut self, to: &VersionWithInputs) {
        self.version.clone_from(&to.version);
        self.inputs = Some(to.inputs.clone());
    }
}

impl Stack {
    /// The first state. A custom stack is active at once; any other waits for its job.
    pub fn new(new: NewStack, at: DateTime<Utc>) -> Self {
        let NewStack { id, platform, tenant, name, is_default, repo_name, template } = new;
        let (template, job) = template.unzip();
        let target = template.as_ref().map(|StackTemplate { version, inputs, .. }| Target {
            version: VersionWithInputs {
                version: version.clone(),
                inputs: inputs.clone().unwrap_or_default(),
            },
            is_rollback: false,
        });
        let is_running = template.is_none();
        Self {
            id,
            platform,
            tenant,
            name,
            is_default,
            repo_name,
            template,
            status: if is_running { StackStatus::Active } else { StackStatus::Pending },
            is_running,
            error: None,
            job,
            target,
            previous: None,
            replaced: None,
            shared: Vec::new(),
            created_at: at,
            updated_at: at,
            deleted_at: None,
        }
    }

    /// The version that runs. If no version ever ran, the version to run. `None` for a custom stack.
    pub fn version(&self) -> Option<VersionWithInputs> {
        self.template.as_ref().map(|template| VersionWithInputs {
            version: template.version.clone(),
            inputs: template.inputs.clone().unwrap_or_default(),
        })
    }

    /// The target of a rollback.
    ///
    /// # Errors
    /// [`Kind::InvalidTransition`] if the status does not allow a rollback, or no previous version exists.
    pub fn rollback_target(&self) -> Result<Target> {
        self.status.after(StackTransition::Rollback)?;
        let version = self.previous.clone().ok_or_else(|| {
            Error::new(Kind::InvalidTransition, "The stack has no previous version to roll back to.")
                .with("from", self.status)
                .with("event", StackTransition::Rollback)
                .with("allowed", [StackTransition::Upgrade])
        })?;
        Ok(Target { version, is_rollback: true })
    }

    /// The plan that brings the stack from its current activations to a release.
    pub fn plan(&self, current: &CurrentActivations, release: &Release) -> Plan {
        let from =
            self.template.as_ref().filter(|_| self.is_running).map(|template| template.version.clone());
        Plan::new(from, release.version.clone())
            .features(&current.running(), &current.target(release))
            .resources(&self.shared, &release.shared)
    }

    /// The effect of a report that `job` ended.
    pub fn effect_of_end(&self, job: JobId, is_done: bool) -> JobEffect<'_> {
        if self.job != Some(job) || self.deleted_at.is_some() {
            return JobEffect::Unchanged;
        }
        let effect = match (is_done, self.status) {
            (true, StackStatus::Provisioning) => self.target.as_ref().map(JobEffect::Completed),
            (false, StackStatus::Pending | StackStatus::Provisioning) => Some(JobEffect::Failed),
            (false, StackStatus::Active) => self.replaced.as_ref().map(JobEffect::RolledBack),
            _ => None,
        };
        effect.unwrap_or(JobEffect::Unchanged)
    }

    /// The state after `event`. An event that does not concern the stack any more leaves it unchanged.
    ///
    /// # Errors
    /// [`Kind::InvalidTransition`].
    pub fn apply(&self, event: &StackEvent, at: DateTime<Utc>) -> Result<Self> {
        use StackEvent as E;
        match event {
            E::Requested { target, job } if self.job != Some(*job) => self.requested(target, *job, at),
            E::JobBegan { job } if self.job == Some(*job) && self.status == StackStatus::Pending => {
                self.with_status(StackTransition::Begin, at)
            }
            E::JobCompleted { job, shared, features_before } => match self.effect_of_end(*job, true) {
                JobEffect::Completed(target) => self.completed(target, shared, features_before, at),
                _ => Ok(self.clone()),
            },
            E::JobFailed { job, error } => match self.effect_of_end(*job, false) {
                JobEffect::Failed => self.failed(error, at),
                JobEffect::RolledBack(replaced) => self.rolled_back(replaced, error, at),
                _ => Ok(self.clone()),
            },
            E::Deleted { job } if self.deleted_at.is_none() => {
                Ok(Self { job: Some(*job), updated_at: at, deleted_at: Some(at), ..self.clone() })
            }
            E::PlatformRemoved { reason } if self.is_running => self.stopped(reason, at),
            _ => Ok(self.clone()),
        }
    }

    fn with_status(&self, transition: StackTransition, at: DateTime<Utc>) -> Result<Self> {
        Ok(Self { status: self.status.after(transition)?, updated_at: at, ..self.clone() })
    }

    fn requested(&self, target: &Target, job: JobId, at: DateTime<Utc>) -> Result<Self> {
        let transition =
            if target.is_rollback { StackTransition::Rollback } else { StackTransition::Upgrade };
        let mut after = self.with_status(transition, at)?;
        (after.target, after.job) = (Some(target.clone()), Some(job));
        (after.error, after.replaced) = (None, None);
        if let Some(template) = after.template.as_mut().filter(|_| !self.is_running) {
            template.set(&target.version);
        }
        Ok(after)
    }

    fn completed(
        &self,
        target: &Target,
        shared: &[ResourceType],
        features_before: &[PlannedFeature],
        at: DateTime<Utc>,
    ) -> Result<Self> {
        let mut after = self.with_status(StackTransition::Complete, at)?;
        let ran = self.version().filter(|_| self.is_running);
        after.replaced = Some(Replaced {
            version: ran.clone(),
            previous: self.previous.clone(),
            shared: self.shared.clone(),
            features: features_before.to_vec(),
        });
        after.previous = match ran {
            _ if target.is_rollback => None,
            Some(ran) if ran.version != target.version.version => Some(ran),
            _ => after.previous,
        };
        if let Some(template) = &mut after.template {
            template.set(&target.version);
        }
        after.shared = shared.to_vec();
        (after.is_running, after.error, after.target) = (true, None, None);
        Ok(after)
    }

    fn failed(&self, error: &str, at: DateTime<Utc>) -> Result<Self> {
        let transition = if self.is_running { StackTransition::Revert } else { StackTransition::Fail };
        let mut after = self.with_status(transition, at)?;
        (after.error, after.target) = (Some(error.to_owned()), None);
        Ok(after)
    }

    fn rolled_back(&self, replaced: &Replaced, error: &str, at: DateTime<Utc>) -> Result<Self> {
        let before = Self { is_running: replaced.version.is_some(), ..self.clone() };
        let mut after = before.failed(error, at)?;
        if let (Some(template), Some(version)) = (&mut after.template, &replaced.version) {
            template.set(version);
        }
        (after.previous, after.shared) = (replaced.previous.clone(), replaced.shared.clone());
        after.replaced = None;
        Ok(after)
    }

    /// The state when nothing of the stack runs any more.
    fn stopped(&self, reason: &str, at: DateTime<Utc>) -> Result<Self> {
        let mut after = self.with_status(StackTransition::Fail, at)?;
        (after.is_running, after.error, after.shared) = (false, Some(reason.to_owned()), Vec::new());
        (after.target, after.previous, after.replaced) = (None, None, None);
        Ok(after)
    }
}
