//! Stack jobs: ACTIVATE_STACK, which brings a stack to a version, and DEACTIVATE_STACK.
//!
//! Jobs of one stack run one at a time, and each waits for the jobs of the features that it changes. When a job begins,
//! the registry returns the target state of the stack. The registry shows the new state only when it is complete.

pub(crate) mod activate;
pub(crate) mod deactivate;

use std::collections::BTreeSet;

use domain::{
    Error, PlatformId, Result, Slug, StackId, Version,
    job::JobType,
    resource::{Environment, ResourceType},
};
use identity::Ctx;
use rpc::{
    enum_number,
    registry::{BeginStackJobRequest, BeginStackJobResponse, EndStackJobRequest, StackJob, StackService},
};
use saga::{Progress, StepCx, StepKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    feature, job_locks, registered,
    service::{Service, StackContext},
    superseded,
};
use crate::{App, jobs::model::Job};

/// Stacks run only in production.
const ENVIRONMENT: Environment = Environment::Prod;

/// Input of an ACTIVATE_STACK job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Activate {
    pub(crate) stack_id: StackId,
}

/// Input of a DEACTIVATE_STACK job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Deactivate {
    pub(crate) stack_id: StackId,
    #[serde(default)]
    pub(crate) delete_data: bool,
}

/// Input of both job types.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobInput {
    stack_id: StackId,
    #[serde(default)]
    delete_data: bool,
}

/// Service of one feature, with its versions before and after the job. `None` if it does not run.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PlannedService {
    feature: Slug,
    version: Option<Version>,
    version_before: Option<Version>,
}

/// Plan of a job: the target state from the registry and the resources that existed at the beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    owner: String,
    services: Vec<PlannedService>,
    shared: Vec<ResourceType>,
    shared_before: Vec<ResourceType>,
    /// Names of the stack's resources that existed before this job.
    existing: BTreeSet<String>,
}

const BEGIN: StepKey<Plan> = StepKey::new("begin");

impl JobInput {
    fn of(cx: &StepCx) -> Result<Self> {
        cx.input()
    }

    fn lock_key(&self, cx: &StepCx) -> String {
        self.lock_request(&cx.subject).lock_key
    }

    /// Returns the lock of the stack. A newer job of the same stack supersedes a waiting one.
    fn lock_request(&self, platform: &str) -> job_locks::LockRequest {
        job_locks::LockRequest {
            lock_key: format!("{platform}/stack/{}", self.stack_id),
            replaces: String::new(),
        }
    }

    fn job(&self, platform: &str, id: Uuid, kind: JobType) -> StackJob {
        StackJob {
            platform_id: platform.to_owned(),
            stack_id: self.stack_id.to_string(),
            job_id: id.to_string(),
            r#type: enum_number(kind),
        }
    }
}

impl TryFrom<StackService> for PlannedService {
    type Error = Error;

    fn try_from(response: StackService) -> Result<Self> {
        Ok(Self {
            feature: rpc::parse("feature_id", &response.feature_id)?,
            version: rpc::parse_optional("version", response.version.as_deref())?,
            version_before: rpc::parse_optional("version_before", response.version_before.as_deref())?,
        })
    }
}

/// First step of both job types: waits for the lock of the stack and reports the beginning of the job to the registry.
async fn begin(app: &App, cx: &StepCx, kind: JobType) -> Result<Progress<Plan>> {
    let input = JobInput::of(cx)?;
    let wait = job_locks::acquire(app, cx, &input.lock_request(&cx.subject)).await?;
    let job = Some(input.job(&cx.subject, cx.saga_id, kind));
    let message = BeginStackJobRequest { job, waits: wait.is_some() };
    let response = app.registry.call(&cx.ctx, message).await;
    let response: BeginStackJobResponse = response?;
    if response.superseded {
        return Err(superseded());
    }
    if let Some(wait) = wait {
        return Ok(job_locks::wait_for(wait, "the same stack"));
    }
    let listed = registered::list_registered(app, cx, &feature::platform(cx)?).await?;
    let own_resources =
        listed.resources.into_iter().filter(|resource| resource.stack_id == input.stack_id.as_str());
    Ok(Progress::Done(Plan {
        owner: response.owner_id,
        services: response.services.into_iter().map(PlannedService::try_from).collect::<Result<_>>()?,
        shared: feature::resource_types(&response.shared)?,
        shared_before: feature::resource_types(&response.shared_before)?,
        existing: own_resources.map(|resource| resource.cf_name).collect(),
    }))
}

/// Acquires the locks of features in alphabetical order, which prevents deadlocks between jobs.
async fn lock_features(
    app: &App,
    cx: &StepCx,
    features: BTreeSet<String>,
) -> Result<Progress<BTreeSet<String>>> {
    for feature in &features {
        let lock_key = feature::lock_key(&cx.subject, feature, ENVIRONMENT);
        // The unique value keeps feature jobs from superseding a stack job.
        let request = job_locks::LockRequest { lock_key, replaces: format!("job {}", cx.saga_id) };
        if let Some(wait) = job_locks::acquire(app, cx, &request).await? {
            return Ok(job_locks::wait_for(wait, &format!("the feature {feature}")));
        }
    }
    Ok(Progress::Done(features))
}

/// Reports the end of the job to the registry.
async fn report_end(app: &App, cx: &StepCx, kind: JobType, end_request: EndStackJobRequest) -> Result<()> {
    let job = JobInput::of(cx)?.job(&cx.subject, cx.saga_id, kind);
    send_end(app, &cx.ctx, EndStackJobRequest { job: Some(job), ..end_request }).await
}

async fn send_end(app: &App, ctx: &Ctx, message: EndStackJobRequest) -> Result<()> {
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
    let end_request = EndStackJobRequest {
        job: Some(input.job(job.platform_id.as_str(), job.id, job.r#type)),
        error: Some(reason.to_owned()),
        ..EndStackJobRequest::default()
    };
    send_end(app, ctx, end_request).await
}

/// Plan and contexts of a stack job.
struct Work {
    plan: Plan,
    /// The stack after the job.
    context: StackContext,
    /// The stack before the job.
    before: StackContext,
}

impl Work {
    fn of(cx: &StepCx) -> Result<Self> {
        let plan = cx.output(BEGIN)?;
        let context = StackContext {
            platform: feature::platform(cx)?,
            stack: JobInput::of(cx)?.stack_id,
            owner: plan.owner.clone(),
            environment: ENVIRONMENT,
            shared: plan.shared.clone(),
        };
        let before = StackContext { shared: plan.shared_before.clone(), ..context.clone() };
        Ok(Self { plan, context, before })
    }

    /// Returns the services that run after the job, with their versions.
    fn running(&self) -> impl Iterator<Item = (&PlannedService, &Version)> {
        self.plan
            .services
            .iter()
            .filter_map(|service| service.version.as_ref().map(|version| (service, version)))
    }

    /// Returns the services that no longer run after the job.
    fn removed(&self) -> impl Iterator<Item = &PlannedService> {
        self.plan.services.iter().filter(|service| service.version.is_none())
    }

    fn service<'a>(&'a self, app: &'a App, cx: &'a StepCx, service: &'a PlannedService) -> Service<'a> {
        Service { app, cx, context: &self.context, feature: &service.feature }
    }

    /// Returns the service in the context before the job, to restore it.
    fn service_before<'a>(
        &'a self,
        app: &'a App,
        cx: &'a StepCx,
        service: &'a PlannedService,
    ) -> Service<'a> {
        Service { app, cx, context: &self.before, feature: &service.feature }
    }

    /// Returns the work that this job may undo: services that another job has changed since are left out. Returns
    /// `None` if another job has changed the stack since.
    async fn to_undo(app: &App, cx: &StepCx) -> Result<Option<Self>> {
        if !job_locks::is_holder(app, cx, &JobInput::of(cx)?.lock_key(cx)).await? {
            return Ok(None);
        }
        let mut work = Self::of(cx)?;
        let mut unchanged = Vec::new();
        for service in std::mem::take(&mut work.plan.services) {
            if job_locks::is_holder(app, cx, &feature::lock_key(&cx.subject, &service.feature, ENVIRONMENT))
                .await?
            {
                unchanged.push(service);
            }
        }
        work.plan.services = unchanged;
        Ok(Some(work))
    }
}
