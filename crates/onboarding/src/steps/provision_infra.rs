//! The platform's infrastructure, by a job of the provisioning service.

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

use super::{status, told, transition};
use crate::{App, sessions::model::Input};

pub(crate) struct ProvisionInfra;

#[async_trait]
impl Step<App> for ProvisionInfra {
    type Output = Uuid;

    fn key(&self) -> StepKey<Uuid> {
        super::PROVISION_INFRA
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Uuid>> {
        let input: Input = cx.input()?;
        // The step is asked again while the job is under way. The platform's transition and the request for the job are for
        // the first time alone, and for one that was cut off between the two.
        let job = match super::job(app, cx, input.provision_job_id).await? {
            Some(job) => job,
            None => begin(app, cx, &input).await?,
        };
        match status(&job)? {
            JobStatus::Completed => Ok(Progress::Done(input.provision_job_id)),
            JobStatus::Pending | JobStatus::Running => {
                let on = super::waits_for(&input.provision_job_id, job);
                Ok(Progress::Waiting(app.job_ends.wait(cx, on)))
            }
            ended => {
                let why = job.error.unwrap_or_else(|| ended.to_string());
                Err(Error::new(Kind::Unprocessable, format!("provisioning job {} failed: {why}", job.id)))
            }
        }
    }

    /// Cancels the job, and waits until it is rolled back.
    async fn before_undo(&self, app: &App, cx: &StepCx) -> Result<Option<Wait>> {
        let input: Input = cx.input()?;
        let job_id = input.provision_job_id.to_string();
        let message = CancelJobRequest {
            job_id: job_id.clone(),
            reason: cx.error.clone().unwrap_or_else(|| "the onboarding is undone".to_owned()),
            r#type: enum_number(JobType::ProvisionPlatform),
            platform_id: cx.subject.clone(),
        };
        let answer = app.provisioning.call(&cx.ctx, message).await;
        let job = told(answer?.job)?;
        match status(&job)? {
            JobStatus::RolledBack => Ok(None),
            status @ JobStatus::Failed => {
                let why = job.error.unwrap_or_default();
                let message = format!("provisioning job {job_id} is {status}: {why}");
                Err(Error::new(Kind::ServiceUnavailable, message))
            }
            _ => Ok(Some(app.job_ends.wait(cx, super::waits_for(&input.provision_job_id, job)))),
        }
    }

    /// The job has undone all that it did.
    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        Ok(())
    }
}

/// Asks for the job. Its id is ours: asked for twice, it is one job.
async fn begin(app: &App, cx: &StepCx, input: &Input) -> Result<Job> {
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
    told(app.provisioning.call(&cx.ctx, message).await?.job)
}
