//! The platform's infrastructure, by a job of the provisioning service.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Error, Kind, Result,
    job::{JobStatus, JobType},
    platform::PlatformEvent,
};
use rpc::provisioning::{CancelJobRequest, EnqueueJobRequest, GetJobRequest, Job};
use saga::{Progress, Step, StepCx, StepKey, Wait, WaitingFor};
use serde_json::json;
use uuid::Uuid;

use super::transition;
use crate::{App, sessions::model::Input};

pub(crate) struct ProvisionInfra;

const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Looks at a job that is being undone before the step gives the engine a turn.
const LOOKS: u32 = 40;

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
        let job = match job(app, cx, input.provision_job_id).await? {
            Some(job) => job,
            None => begin(app, cx, &input).await?,
        };
        let step = job.current_step.as_deref().unwrap_or("its first step");
        match status(&job)? {
            JobStatus::Completed => Ok(Progress::Done(input.provision_job_id)),
            JobStatus::Pending | JobStatus::Running => {
                let why = job.error.or(job.waiting_for).map(|why| format!(" ({why})")).unwrap_or_default();
                let on = WaitingFor::Job { job: input.provision_job_id, at: format!("{step}{why}") };
                Ok(Progress::Waiting(Wait::new(on, cx.patience())))
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

/// The job as it stands; none if it was not asked for yet.
async fn job(app: &App, cx: &StepCx, id: Uuid) -> Result<Option<Job>> {
    let answer = app.provisioning.call(&cx.ctx, GetJobRequest { job_id: id.to_string() }).await;
    match answer {
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        answer => told(answer?.job).map(Some),
    }
}

/// Asks for the job. Its id is ours: asked for twice, it is one job.
async fn begin(app: &App, cx: &StepCx, input: &Input) -> Result<Job> {
    transition(app, cx, PlatformEvent::Bootstrap, None).await?;
    let spec =
        json!({ "environment": "prod", "entityId": null, "planTier": input.tier, "billingEmail": null });
    let message = EnqueueJobRequest {
        job_id: input.provision_job_id.to_string(),
        r#type: JobType::ProvisionPlatform.to_string(),
        platform_id: cx.subject.clone(),
        input: spec.to_string(),
        flow: cx.flow.clone(),
    };
    told(app.provisioning.call(&cx.ctx, message).await?.job)
}

fn told(job: Option<Job>) -> Result<Job> {
    job.ok_or_else(|| Error::internal("provisioning gave no job"))
}

fn status(job: &Job) -> Result<JobStatus> {
    JobStatus::parse(&job.status).map_err(Error::internal)
}
