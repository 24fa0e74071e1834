//! The five steps of an onboarding and their undos.

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

/// The step that creates the platform; its output is the platform's id.
pub(crate) const CREATE_PLATFORM: StepKey<PlatformId> = StepKey::new("create_platform");
/// The step that runs a provisioning job; its output is the job's id.
pub(crate) const PROVISION_INFRA: StepKey<Uuid> = StepKey::new("provision_infra");
/// The step that creates the repository.
pub(crate) const SETUP_REPO: StepKey<Repository> = StepKey::new("setup_repo");
/// The step that creates the stack. Its undo waits until the stack is removed.
pub(crate) const DEPLOY_SERVICES: StepKey<Deployed> = StepKey::new("deploy_services");
/// The step that waits until the stack is active; its output is the number of resources.
pub(crate) const VERIFY: StepKey<usize> = StepKey::new("verify");

/// Returns the outlines of all sagas of this service.
pub fn outlines() -> Vec<Outline> {
    definitions().iter().map(Definition::outline).collect()
}

/// Returns the definitions of every version that may still run.
pub(crate) fn definitions() -> Vec<Definition<App>> {
    vec![definition()]
}

/// Returns the current definition.
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

/// Applies a lifecycle event to the platform. An event that has already been applied is ignored.
async fn transition(
    app: &App,
    cx: &StepCx,
    event: PlatformEvent,
    reason: Option<String>,
) -> Result<Platform> {
    let message =
        TransitionPlatformRequest { platform_id: cx.subject.clone(), event: enum_number(event), reason };
    let response = app.registry.call(&cx.ctx, message).await?;
    response.platform.ok_or_else(|| Error::internal("the registry returned no platform"))
}

/// Reads the platform, even if it is deleted.
async fn platform(app: &App, cx: &StepCx) -> Result<Platform> {
    let response = app.registry.call(&cx.ctx, GetPlatformRequest { platform_id: cx.subject.clone() }).await?;
    response.platform.ok_or_else(|| Error::internal("the registry returned no platform"))
}

/// Reads a provisioning job; `None` if it is not recorded yet.
async fn job(app: &App, cx: &StepCx, id: Uuid) -> Result<Option<Job>> {
    match app.provisioning.call(&cx.ctx, GetJobRequest { job_id: id.to_string() }).await {
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        response => require_job(response?.job).map(Some),
    }
}

fn require_job(job: Option<Job>) -> Result<Job> {
    job.ok_or_else(|| Error::internal("provisioning returned no job"))
}

fn status(job: &Job) -> Result<JobStatus> {
    parse_response_enum("job.status", job.status)
}

/// Returns true if the job is completed, rolled back or failed.
fn has_ended(job: &Job) -> Result<bool> {
    Ok(matches!(status(job)?, JobStatus::Completed | JobStatus::RolledBack | JobStatus::Failed))
}

/// The cause of a wait for a job, with the job's current step.
fn waits_for(id: &Uuid, job: Job) -> WaitingFor {
    let step = job.current_step.as_deref().unwrap_or("its first step");
    let why = job.error.or(job.waiting_for).map(|why| format!(" ({why})")).unwrap_or_default();
    WaitingFor::Job { job: *id, at: format!("{step}{why}") }
}
