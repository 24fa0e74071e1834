//! The step that creates the platform's infrastructure by a job of the provisioning service.

use async_trait::async_trait;
use domain::{
    Error, Kind, Result,
    job::{JobStatus, JobType},
    platform::PlatformEvent,
    resource::Environment,
};
use rpc::{
    enum_number,
    provisioning::{CancelJobRequest, EnqueueJobRequest, Job},
};
use saga::{Progress, Step, StepCx, StepKey, Wait};
use serde_json::json;
use uuid::Uuid;

use super::{require_job, status, transition};
use crate::{App, onboardings::model::OnboardingInput};

pub(crate) struct ProvisionInfra;

#[async_trait]
impl Step<App> for ProvisionInfra {
    type Output = Uuid;

    fn key(&self) -> StepKey<Uuid> {
        super::PROVISION_INFRA
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Uuid>> {
        let input: OnboardingInput = cx.input()?;
        // The step runs again while the job is in progress. Only the first run, or one after an attempt that was cut off
        // between the two, changes the platform's status and enqueues the job.
        let job = match super::job(app, cx, input.provision_job_id).await? {
            Some(job) => job,
            None => start_job(app, cx, &input).await?,
        };
        match status(&job)? {
            JobStatus::Completed => Ok(Progress::Done(input.provision_job_id)),
            JobStatus::Pending | JobStatus::Running => {
                let on = super::waits_for(&input.provision_job_id, job);
                Ok(Progress::Waiting(app.job_ends.wait(cx, on)))
            }
            ended => {
                let why = job.error.unwrap_or_else(|| ended.to_string());
                Err(Error::new(Kind::Unprocessable, format!("The provisioning job {} failed: {why}", job.id)))
            }
        }
    }

    /// Cancels the job, and waits until it is rolled back.
    async fn before_undo(&self, app: &App, cx: &StepCx) -> Result<Option<Wait>> {
        let input: OnboardingInput = cx.input()?;
        let job_id = input.provision_job_id.to_string();
        let message = CancelJobRequest {
            job_id: job_id.clone(),
            reason: cx.error.clone().unwrap_or_else(|| "the onboarding is undone".to_owned()),
            r#type: enum_number(JobType::ProvisionPlatform),
            platform_id: cx.subject.clone(),
        };
        let job = require_job(app.provisioning.call(&cx.ctx, message).await?.job)?;
        match status(&job)? {
            JobStatus::RolledBack => Ok(None),
            status @ JobStatus::Failed => {
                let why = job.error.unwrap_or_default();
                let message = format!("The provisioning job {job_id} is {status}: {why}");
                Err(Error::new(Kind::ServiceUnavailable, message))
            }
            _ => Ok(Some(app.job_ends.wait(cx, super::waits_for(&input.provision_job_id, job)))),
        }
    }

    /// Does nothing: the rolled-back job has undone its effects.
    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        Ok(())
    }
}

/// Enqueues the job. This service chooses the id, so a repeated request creates no second job.
async fn start_job(app: &App, cx: &StepCx, input: &OnboardingInput) -> Result<Job> {
    transition(app, cx, PlatformEvent::Bootstrap, None).await?;
    let spec = json!({
        "environment": Environment::Prod, "entityId": null, "planTier": input.tier, "billingEmail": null,
    });
    let message = EnqueueJobRequest {
        job_id: input.provision_job_id.to_string(),
        r#type: enum_number(JobType::ProvisionPlatform),
        platform_id: cx.subject.clone(),
        input: spec.to_string(),
        flow: cx.fairness_key.clone(),
    };
    require_job(app.provisioning.call(&cx.ctx, message).await?.job)
}
