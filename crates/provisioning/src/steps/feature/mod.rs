//! The jobs for features: ACTIVATE_FEATURE and DEACTIVATE_FEATURE.
//!
//! A feature's service is shared by the entities of a stack. So the jobs for one service run one after the other (see
//! `turn`), and the registry, which knows who uses it, says at the begin of a job what the service is to run after it.

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

use super::{superseded, turn};
use crate::{App, jobs::model::Job};

/// What a job that activates is told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Activate {
    pub(crate) entity_id: EntityId,
    pub(crate) feature_id: Slug,
    pub(crate) feature_version: Version,
    pub(crate) environment: Environment,
}

/// What a job that deactivates is told.
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

/// Either of the two.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    entity_id: EntityId,
    feature_id: Slug,
    feature_version: Option<Version>,
    environment: Environment,
    #[serde(default)]
    delete_data: bool,
}

/// What the registry said when the job began.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    stack: StackId,
    /// Whose the resources are.
    owner: String,
    has_service: bool,
    /// What the service is to run when the job is done, and when it is undone; none where it is not to run.
    version: Option<Version>,
    version_before: Option<Version>,
    own_version_before: Option<Version>,
    has_data: bool,
    shares_data: bool,
    /// What the features of the stack share.
    #[serde(default)]
    shared: Vec<ResourceType>,
}

impl TryFrom<BeginFeatureJobResponse> for Plan {
    type Error = Error;

    fn try_from(said: BeginFeatureJobResponse) -> Result<Self> {
        Ok(Self {
            stack: rpc::parse("stack_id", &said.stack_id)?,
            owner: said.owner_id,
            has_service: said.has_service,
            version: rpc::parse_optional("version", said.version.as_deref())?,
            version_before: rpc::parse_optional("version_before", said.version_before.as_deref())?,
            own_version_before: rpc::parse_optional(
                "own_version_before",
                said.own_version_before.as_deref(),
            )?,
            has_data: said.has_data,
            shares_data: said.shares_data,
            shared: kinds(&said.shared)?,
        })
    }
}

/// Types of resources, as the registry tells them.
pub(super) fn kinds(said: &[i32]) -> Result<Vec<ResourceType>> {
    said.iter().map(|kind| parse_enum("shared", *kind)).collect()
}

/// What only one job may work on at a time.
pub(super) fn thing(platform: &str, feature: impl std::fmt::Display, environment: Environment) -> String {
    format!("{platform}/{feature}/{environment}")
}

impl Asked {
    fn thing(&self, cx: &StepCx) -> String {
        self.subject(&cx.subject).thing
    }

    /// One job works on a feature at a time; a newer one of the same entity supersedes it.
    fn subject(&self, platform: &str) -> turn::Subject {
        turn::Subject {
            thing: thing(platform, &self.feature_id, self.environment),
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

/// The first step of both: waits for its turn, and tells the registry. Undone, which is last, it tells how it ended.
struct Begin(JobType);

#[async_trait]
impl Step<App> for Begin {
    type Output = Plan;

    fn key(&self) -> StepKey<Plan> {
        BEGIN
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Plan>> {
        let asked: Asked = cx.input()?;
        let wait = turn::take(app, cx, &asked.subject(&cx.subject)).await?;
        let job = Some(asked.job(&cx.subject, cx.saga_id, self.0));
        let message = BeginFeatureJobRequest { job, waits: wait.is_some() };
        let answer = app.registry.call(&cx.ctx, message).await;
        let said = answer?;
        if said.superseded {
            return Err(superseded());
        }
        if let Some(wait) = wait {
            return Ok(turn::wait_for(wait, "the same feature"));
        }
        Ok(Progress::Done(Plan::try_from(said)?))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let plan = cx.output_if_any(BEGIN)?;
        let before = plan.and_then(|plan| plan.own_version_before);
        let told = EndFeatureJobRequest {
            error: Some(cx.error.clone().unwrap_or_else(|| "it was undone".to_owned())),
            own_version_before: before.map(|version| version.to_string()),
            ..EndFeatureJobRequest::default()
        };
        end(app, cx, self.0, told).await
    }

    fn undo_if_not_started(&self) -> bool {
        true
    }
}

/// Tells the registry how the job ended.
async fn end(app: &App, cx: &StepCx, kind: JobType, told: EndFeatureJobRequest) -> Result<()> {
    let job = cx.input::<Asked>()?.job(&cx.subject, cx.saga_id, kind);
    tell(app, &cx.ctx, EndFeatureJobRequest { job: Some(job), ..told }).await
}

async fn tell(app: &App, ctx: &Ctx, message: EndFeatureJobRequest) -> Result<()> {
    app.registry.call(ctx, message).await?;
    Ok(())
}

/// What the job of this input works on.
pub(super) fn subject(platform: &PlatformId, input: &Value) -> Result<turn::Subject> {
    Ok(Asked::deserialize(input).map_err(Error::internal)?.subject(platform.as_str()))
}

/// Tells the registry that nothing more will come of a job.
pub(super) async fn give_up(app: &App, ctx: &Ctx, job: &Job, why: &str) -> Result<()> {
    let asked: Asked = serde_json::from_value(job.input.clone()).map_err(Error::internal)?;
    let told = EndFeatureJobRequest {
        job: Some(asked.job(job.platform_id.as_str(), job.id, job.r#type)),
        error: Some(why.to_owned()),
        ..EndFeatureJobRequest::default()
    };
    tell(app, ctx, told).await
}

pub(super) fn platform(cx: &StepCx) -> Result<PlatformId> {
    cx.subject.parse().map_err(Error::internal)
}
