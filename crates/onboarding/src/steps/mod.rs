//! What an onboarding does: five steps, each undone by itself.

mod create_platform;
mod deploy_services;
mod provision_infra;
mod setup_repo;
mod verify;

use domain::{Error, Kind, PlatformId, Result, job::JobStatus, platform::PlatformEvent};
use rpc::{
    enum_number, parse_response_enum,
    provisioning::{GetJobRequest, Job},
    registry::{GetPlatformRequest, Platform, TransitionPlatformRequest},
};
use saga::{Definition, OnFailure, Outline, StepCx, StepKey, WaitingFor};
use uuid::Uuid;

use self::{deploy_services::Deployed, setup_repo::Repository};
use crate::App;

/// The step that all others need: the platform's id.
pub(crate) const CREATE_PLATFORM: StepKey<PlatformId> = StepKey::new("create_platform");
/// The step that waits for a job of provisioning: the job's id.
pub(crate) const PROVISION_INFRA: StepKey<Uuid> = StepKey::new("provision_infra");
/// The step that makes the repository.
pub(crate) const SETUP_REPO: StepKey<Repository> = StepKey::new("setup_repo");
/// The step that makes a stack, and undone waits until it is taken down.
pub(crate) const DEPLOY_SERVICES: StepKey<Deployed> = StepKey::new("deploy_services");
/// The step that waits for the stack to run: the number of resources.
pub(crate) const VERIFY: StepKey<usize> = StepKey::new("verify");

/// The outlines of all sagas of this service.
pub fn outlines() -> Vec<Outline> {
    definitions().iter().map(Definition::outline).collect()
}

/// The definitions of every version that may still run.
pub(crate) fn definitions() -> Vec<Definition<App>> {
    vec![definition()]
}

/// The saga of an onboarding.
pub(crate) fn definition() -> Definition<App> {
    Definition {
        kind: "onboarding",
        version: 1,
        steps: vec![
            Box::new(create_platform::CreatePlatform),
            Box::new(provision_infra::ProvisionInfra),
            Box::new(setup_repo::SetupRepo),
            Box::new(deploy_services::DeployServices),
            Box::new(verify::Verify),
        ],
        on_failure: OnFailure::Undo,
    }
}

/// Makes an event happen to the platform; one that has happened already is left as it is.
async fn transition(
    app: &App,
    cx: &StepCx,
    event: PlatformEvent,
    reason: Option<String>,
) -> Result<Platform> {
    let message =
        TransitionPlatformRequest { platform_id: cx.subject.clone(), event: enum_number(event), reason };
    let answer = app.registry.call(&cx.ctx, message).await;
    answer?.platform.ok_or_else(|| Error::internal("the registry gave no platform"))
}

/// The platform as it is now, deleted or not.
async fn platform(app: &App, cx: &StepCx) -> Result<Platform> {
    let answer = app.registry.call(&cx.ctx, GetPlatformRequest { platform_id: cx.subject.clone() }).await;
    answer?.platform.ok_or_else(|| Error::internal("the registry gave no platform"))
}

/// A job of provisioning as it stands; none if it is not recorded yet.
async fn job(app: &App, cx: &StepCx, id: Uuid) -> Result<Option<Job>> {
    let answer = app.provisioning.call(&cx.ctx, GetJobRequest { job_id: id.to_string() }).await;
    match answer {
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        answer => told(answer?.job).map(Some),
    }
}

fn told(job: Option<Job>) -> Result<Job> {
    job.ok_or_else(|| Error::internal("provisioning gave no job"))
}

fn status(job: &Job) -> Result<JobStatus> {
    parse_response_enum("job.status", job.status)
}

/// Whether nothing more will become of a job by itself.
fn has_ended(job: &Job) -> Result<bool> {
    Ok(matches!(status(job)?, JobStatus::Completed | JobStatus::RolledBack | JobStatus::Failed))
}

/// The cause for which a step waits for a job, with the step at which the job is.
fn waits_for(id: &Uuid, job: Job) -> WaitingFor {
    let step = job.current_step.as_deref().unwrap_or("its first step");
    let why = job.error.or(job.waiting_for).map(|why| format!(" ({why})")).unwrap_or_default();
    WaitingFor::Job { job: *id, at: format!("{step}{why}") }
}
