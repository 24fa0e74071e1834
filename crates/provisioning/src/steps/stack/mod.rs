//! The jobs for stacks: ACTIVATE_STACK, which brings a stack to a version, and DEACTIVATE_STACK.
//!
//! The jobs for one stack run one after the other, and each waits for the jobs of the features that it works on. What a
//! stack is to be brought to the registry says at the begin of a job. It sees nothing of it until all is in place, and
//! then all of it at once.

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
    feature, made,
    service::{Service, Site},
    superseded, turn,
};
use crate::{App, jobs::model::Job};

/// Stacks run in production alone.
const ENVIRONMENT: Environment = Environment::Prod;

/// What a job that activates is told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Activate {
    pub(crate) stack_id: StackId,
}

/// What a job that deactivates is told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Deactivate {
    pub(crate) stack_id: StackId,
    #[serde(default)]
    pub(crate) delete_data: bool,
}

/// Either of the two.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    stack_id: StackId,
    #[serde(default)]
    delete_data: bool,
}

/// The service of one feature, before and after the job.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Served {
    feature: Slug,
    version: Option<Version>,
    version_before: Option<Version>,
}

/// What the registry said when the job began, and what was there.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    owner: String,
    services: Vec<Served>,
    shared: Vec<ResourceType>,
    shared_before: Vec<ResourceType>,
    /// Names of the stack's resources that this job did not make.
    existing: BTreeSet<String>,
}

const BEGIN: StepKey<Plan> = StepKey::new("begin");

impl Asked {
    fn of(cx: &StepCx) -> Result<Self> {
        cx.input()
    }

    fn thing(&self, cx: &StepCx) -> String {
        self.subject(&cx.subject).thing
    }

    /// One job works on a stack at a time, and a newer one supersedes it.
    fn subject(&self, platform: &str) -> turn::Subject {
        turn::Subject { thing: format!("{platform}/stack/{}", self.stack_id), replaces: String::new() }
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

impl TryFrom<StackService> for Served {
    type Error = Error;

    fn try_from(said: StackService) -> Result<Self> {
        Ok(Self {
            feature: rpc::parse("feature_id", &said.feature_id)?,
            version: rpc::parse_optional("version", said.version.as_deref())?,
            version_before: rpc::parse_optional("version_before", said.version_before.as_deref())?,
        })
    }
}

/// The first step of both: waits for its turn, and tells the registry.
async fn begin(app: &App, cx: &StepCx, kind: JobType) -> Result<Progress<Plan>> {
    let asked = Asked::of(cx)?;
    let wait = turn::take(app, cx, &asked.subject(&cx.subject)).await?;
    let job = Some(asked.job(&cx.subject, cx.saga_id, kind));
    let message = BeginStackJobRequest { job, waits: wait.is_some() };
    let answer = app.registry.call(&cx.ctx, message).await;
    let said: BeginStackJobResponse = answer?;
    if said.superseded {
        return Err(superseded());
    }
    if let Some(wait) = wait {
        return Ok(turn::wait_for(wait, "the same stack"));
    }
    let things = made::platform_things(app, cx, &feature::platform(cx)?).await?;
    let own = things.resources.into_iter().filter(|one| one.stack_id == asked.stack_id.as_str());
    Ok(Progress::Done(Plan {
        owner: said.owner_id,
        services: said.services.into_iter().map(Served::try_from).collect::<Result<_>>()?,
        shared: feature::kinds(&said.shared)?,
        shared_before: feature::kinds(&said.shared_before)?,
        existing: own.map(|one| one.cf_name).collect(),
    }))
}

/// Takes the turns of features, always in the same order, so that no two jobs wait for each other.
async fn take_turns(
    app: &App,
    cx: &StepCx,
    features: BTreeSet<String>,
) -> Result<Progress<BTreeSet<String>>> {
    for feature in &features {
        let thing = feature::thing(&cx.subject, feature, ENVIRONMENT);
        // Jobs of features never supersede one of a stack.
        let subject = turn::Subject { thing, replaces: format!("job {}", cx.saga_id) };
        if let Some(wait) = turn::take(app, cx, &subject).await? {
            return Ok(turn::wait_for(wait, &format!("the feature {feature}")));
        }
    }
    Ok(Progress::Done(features))
}

/// Tells the registry how the job ended.
async fn end(app: &App, cx: &StepCx, kind: JobType, told: EndStackJobRequest) -> Result<()> {
    let job = Asked::of(cx)?.job(&cx.subject, cx.saga_id, kind);
    tell(app, &cx.ctx, EndStackJobRequest { job: Some(job), ..told }).await
}

async fn tell(app: &App, ctx: &Ctx, message: EndStackJobRequest) -> Result<()> {
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
    let told = EndStackJobRequest {
        job: Some(asked.job(job.platform_id.as_str(), job.id, job.r#type)),
        error: Some(why.to_owned()),
        ..EndStackJobRequest::default()
    };
    tell(app, ctx, told).await
}

/// What a job for a stack works on.
struct Work {
    plan: Plan,
    /// As it is to be, and as it was.
    site: Site,
    before: Site,
}

impl Work {
    fn of(cx: &StepCx) -> Result<Self> {
        let plan = cx.output(BEGIN)?;
        let site = Site {
            platform: feature::platform(cx)?,
            stack: Asked::of(cx)?.stack_id,
            owner: plan.owner.clone(),
            environment: ENVIRONMENT,
            shared: plan.shared.clone(),
        };
        let before = Site { shared: plan.shared_before.clone(), ..site.clone() };
        Ok(Self { plan, site, before })
    }

    /// The services that are to run.
    fn running(&self) -> impl Iterator<Item = (&Served, &Version)> {
        self.plan.services.iter().filter_map(|one| one.version.as_ref().map(|version| (one, version)))
    }

    /// The services that are to run no longer.
    fn leaving(&self) -> impl Iterator<Item = &Served> {
        self.plan.services.iter().filter(|one| one.version.is_none())
    }

    fn service<'a>(&'a self, app: &'a App, cx: &'a StepCx, one: &'a Served) -> Service<'a> {
        Service { app, cx, site: &self.site, feature: &one.feature }
    }

    /// The same to bring it back to what it was.
    fn service_before<'a>(&'a self, app: &'a App, cx: &'a StepCx, one: &'a Served) -> Service<'a> {
        Service { app, cx, site: &self.before, feature: &one.feature }
    }

    /// Leaves only what no other job has worked on since this one: what it made is still its own to undo.
    async fn to_undo(app: &App, cx: &StepCx) -> Result<Option<Self>> {
        if !turn::is_ours(app, cx, &Asked::of(cx)?.thing(cx)).await? {
            return Ok(None);
        }
        let mut work = Self::of(cx)?;
        let mut ours = Vec::new();
        for one in std::mem::take(&mut work.plan.services) {
            if turn::is_ours(app, cx, &feature::thing(&cx.subject, &one.feature, ENVIRONMENT)).await? {
                ours.push(one);
            }
        }
        work.plan.services = ours;
        Ok(Some(work))
    }
}
