//! The platform's infrastructure, by a job of the provisioning service.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Error, Kind, Result,
    job::{JobStatus, JobType},
    platform::PlatformEvent,
};
use rpc::provisioning::{CancelJobRequest, EnqueueJobRequest, GetJobRequest, Job};
use saga::{Progress, Step, StepCx};
use serde_json::json;

use super::transition;
use crate::{App, sessions::model::Input};

pub(crate) struct ProvisionInfra;

const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Looks at a job that is being undone before the step gives the engine a turn.
const LOOKS: u32 = 40;

#[async_trait]
impl Step<App> for ProvisionInfra {
    fn name(&self) -> &'static str {
        super::PROVISION_INFRA
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress> {
        transition(app, cx, PlatformEvent::Bootstrap, None).await?;
        let input: Input = cx.input()?;
        let message = EnqueueJobRequest {
            job_id: input.provision_job_id.to_string(),
            r#type: JobType::ProvisionPlatform.to_string(),
            platform_id: cx.subject.clone(),
            input: json!({ "environment": "prod", "entityId": null, "planTier": input.tier, "billingEmail": null }).to_string(),
            flow: cx.flow.clone(),
        };
        // The job's id is ours: asked again, it is the same job, as it stands now.
        let answer = app.provisioning.call(&cx.ctx, message).await;
        let job = told(answer?.job)?;
        let step = job.current_step.as_deref().unwrap_or("its first step");
        match status(&job)? {
            JobStatus::Completed => Progress::done(input.provision_job_id),
            JobStatus::Pending | JobStatus::Running => {
                let why = job.error.or(job.waiting_for).map(|why| format!(" ({why})")).unwrap_or_default();
                let on = format!("provisioning job {}: {step}{why}", job.id);
                Ok(Progress::Waiting { on, ask_again: cx.patience() })
            }
            ended => {
                let why = job.error.unwrap_or_else(|| ended.to_string());
                Err(Error::new(Kind::Unprocessable, format!("provisioning job {} failed: {why}", job.id)))
            }
        }
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let input: Input = cx.input()?;
        let job_id = input.provision_job_id.to_string();
        let message = CancelJobRequest {
            job_id: job_id.clone(),
            reason: cx.error.clone().unwrap_or_else(|| "the onboarding is undone".to_owned()),
            r#type: JobType::ProvisionPlatform.to_string(),
            platform_id: cx.subject.clone(),
        };
        let answer = app.provisioning.call(&cx.ctx, message).await;
        let mut job = told(answer?.job)?;
        for _ in 0..LOOKS {
            match status(&job)? {
                JobStatus::RolledBack => return Ok(()),
                JobStatus::Failed => break,
                _ => tokio::time::sleep(ASK_AGAIN).await,
            }
            let answer = app.provisioning.call(&cx.ctx, GetJobRequest { job_id: job_id.clone() }).await;
            job = told(answer?.job)?;
        }
        let why = job.error.unwrap_or_default();
        Err(Error::new(
            Kind::ServiceUnavailable,
            format!("provisioning job {job_id} is {}: {why}", job.status),
        ))
    }
}

fn told(job: Option<Job>) -> Result<Job> {
    job.ok_or_else(|| Error::internal("provisioning gave no job"))
}

fn status(job: &Job) -> Result<JobStatus> {
    JobStatus::parse(&job.status).map_err(Error::internal)
}
