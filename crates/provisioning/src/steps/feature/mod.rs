//! Feature jobs: ACTIVATE_FEATURE and DEACTIVATE_FEATURE.
//!
//! The entities of a stack share the service of a feature. Therefore the jobs of one service run one at a time (see
//! `job_locks`). When a job begins, the registry, which knows the users of the service, returns the version that the
//! service runs after the job.

pub(crate) mod activate;
pub(crate) mod deactivate;
mod service;

use async_trait::async_trait;
use domain::{
    EntityId, Error, PlatformId, Result, Slug, StackId, Version,
    job::JobType,
    resource::{Environment, ResourceType},
};
use identity::Ctx;
use rpc::{
    enum_number, parse_enum,
    registry::{BeginFeatureJobRequest, BeginFeatureJobResponse, EndFeatureJobRequest, FeatureJob},
};
use saga::{Progress, Step, StepCx, StepKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{job_locks, superseded};
use crate::{App, jobs::model::Job};

/// Input of an ACTIVATE_FEATURE job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Activate {
    pub(crate) entity_id: EntityId,
    pub(crate) feature_id: Slug,
    pub(crate) feature_version: Version,
    pub(crate) environment: Environment,
}

/// Input of a DEACTIVATE_FEATURE job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Deactivate {
    pub(crate) entity_id: EntityId,
    pub(crate) feature_id: Slug,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) feature_version: Option<Version>,
    pub(crate) environment: Environment,
    #[serde(default)]
    pub(crate) delete_data: bool,
}

/// Input of both job types.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobInput {
    entity_id: EntityId,
    feature_id: Slug,
    feature_version: Option<Version>,
    environment: Environment,
    #[serde(default)]
    delete_data: bool,
}

/// Plan of a job, which the registry returns when the job begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    stack: StackId,
    /// Owner of the resources: the tenant of the stack, or the platform.
    owner: String,
    has_service: bool,
    /// Version of the service after the job. `None` if it does not run.
    version: Option<Version>,
    /// Version of the service before the job, which an undo restores. `None` if it did not run.
    version_before: Option<Version>,
    own_version_before: Option<Version>,
    has_data: bool,
    shares_data: bool,
    /// Types of the resources that the features of the stack share.
    #[serde(default)]
    shared: Vec<ResourceType>,
}

impl TryFrom<BeginFeatureJobResponse> for Plan {
    type Error = Error;

    fn try_from(response: BeginFeatureJobResponse) -> Result<Self> {
        Ok(Self {
            stack: rpc::parse("stack_id", &response.stack_id)?,
            owner: response.owner_id,
            has_service: response.has_service,
            version: rpc::parse_optional("version", response.version.as_deref())?,
            version_before: rpc::parse_optional("version_before", response.version_before.as_deref())?,
            own_version_before: rpc::parse_optional(
                "own_version_before",
                response.own_version_before.as_deref(),
            )?,
            has_data: response.has_data,
            shares_data: response.shares_data,
            shared: resource_types(&response.shared)?,
        })
    }
}

/// Parses the resource types in a response of the registry.
pub(super) fn resource_types(numbers: &[i32]) -> Result<Vec<ResourceType>> {
    numbers.iter().map(|kind| parse_enum("shared", *kind)).collect()
}

/// Returns the key of the lock that serialises the jobs of a feature.
pub(super) fn lock_key(platform: &str, feature: impl std::fmt::Display, environment: Environment) -> String {
    format!("{platform}/{feature}/{environment}")
}

impl JobInput {
    fn lock_key(&self, cx: &StepCx) -> String {
        self.lock_request(&cx.subject).lock_key
    }

    /// Returns the lock of the feature. A newer job of the same entity supersedes a waiting one.
    fn lock_request(&self, platform: &str) -> job_locks::LockRequest {
        job_locks::LockRequest {
            lock_key: lock_key(platform, &self.feature_id, self.environment),
            replaces: self.entity_id.to_string(),
        }
    }

    fn job(self, platform: &str, id: Uuid, kind: JobType) -> FeatureJob {
        FeatureJob {
            platform_id: platform.to_owned(),
            entity_id: self.entity_id.to_string(),
            feature_id: self.feature_id.to_string(),
            environment: enum_number(self.environment),
            job_id: id.to_string(),
            r#type: enum_number(kind),
            feature_version: self.feature_version.map(|version| version.to_string()),
        }
    }
}

const BEGIN: StepKey<Plan> = StepKey::new("begin");

/// First step of both job types: waits for the lock of the feature and reports the beginning of the job to the
/// registry. Its undo runs last and reports the failure.
struct Begin(JobType);

#[async_trait]
impl Step<App> for Begin {
    type Output = Plan;

    fn key(&self) -> StepKey<Plan> {
        BEGIN
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Plan>> {
        let input: JobInput = cx.input()?;
        let wait = job_locks::acquire(app, cx, &input.lock_request(&cx.subject)).await?;
        let job = Some(input.job(&cx.subject, cx.saga_id, self.0));
        let message = BeginFeatureJobRequest { job, waits: wait.is_some() };
        let response = app.registry.call(&cx.ctx, message).await;
        let response = response?;
        if response.superseded {
            return Err(superseded());
        }
        if let Some(wait) = wait {
            return Ok(job_locks::wait_for(wait, "the same feature"));
        }
        Ok(Progress::Done(Plan::try_from(response)?))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let plan = cx.output_if_any(BEGIN)?;
        let before = plan.and_then(|plan| plan.own_version_before);
        let end_request = EndFeatureJobRequest {
            error: Some(cx.error.clone().unwrap_or_else(|| "The job was undone.".to_owned())),
            own_version_before: before.map(|version| version.to_string()),
            ..EndFeatureJobRequest::default()
        };
        report_end(app, cx, self.0, end_request).await
    }

    fn undo_if_not_started(&self) -> bool {
        true
    }
}

/// Reports the end of the job to the registry.
async fn report_end(app: &App, cx: &StepCx, kind: JobType, end_request: EndFeatureJobRequest) -> Result<()> {
    let job = cx.input::<JobInput>()?.job(&cx.subject, cx.saga_id, kind);
    send_end(app, &cx.ctx, EndFeatureJobRequest { job: Some(job), ..end_request }).await
}

async fn send_end(app: &App, ctx: &Ctx, message: EndFeatureJobRequest) -> Result<()> {
    app.registry.call(ctx, message).await?;
    Ok(())
}

/// Returns the lock that a job with this input needs.
pub(super) fn lock_request(platform: &PlatformId, input: &Value) -> Result<job_locks::LockRequest> {
    Ok(JobInput::deserialize(input).map_err(Error::internal)?.lock_request(platform.as_str()))
}

/// Reports to the registry that an operator discarded the job.
pub(super) async fn report_abandoned(app: &App, ctx: &Ctx, job: &Job, reason: &str) -> Result<()> {
    let input: JobInput = serde_json::from_value(job.input.clone()).map_err(Error::internal)?;
    let end_request = EndFeatureJobRequest {
        job: Some(input.job(job.platform_id.as_str(), job.id, job.r#type)),
        error: Some(reason.to_owned()),
        ..EndFeatureJobRequest::default()
    };
    send_end(app, ctx, end_request).await
}

pub(super) fn platform(cx: &StepCx) -> Result<PlatformId> {
    cx.subject.parse().map_err(Error::internal)
}
