//! The first build is recorded and, if a template was asked for, a default tenant gets a default stack of it, which
//! verification waits for. The secrets of the platform's workers were set and marked when provisioning made them.

use std::time::Duration;

use async_trait::async_trait;
use domain::{Error, Kind, Result, build::BuildTrigger, job::JobStatus, resource::Environment};
use rpc::{
    provisioning::GetJobRequest,
    registry::{
        EnsureStackRequest, EnsureTenantRequest, FinishBuildRequest, RemoveStacksRequest, StartBuildRequest,
    },
};
use saga::{Progress, Step, StepCx, StepKey};
use serde::{Deserialize, Serialize};

use crate::{App, sessions::model::Input};

pub(crate) struct DeployServices;

/// What verification knows of the deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deployed {
    pub(crate) build_id: String,
    pub(crate) stack_id: Option<String>,
}

#[async_trait]
impl Step<App> for DeployServices {
    type Output = Deployed;

    fn key(&self) -> StepKey<Deployed> {
        super::DEPLOY_SERVICES
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Deployed>> {
        let input: Input = cx.input()?;
        let repository = cx.output(super::SETUP_REPO)?;
        let message = StartBuildRequest {
            build_id: input.build_id.to_string(),
            platform_id: cx.subject.clone(),
            environment: Environment::Prod.to_string(),
            triggered_by: BuildTrigger::Manual.to_string(),
            repo_name: Some(repository.repo_name.clone()),
            last_commit_sha: Some(repository.commit_sha),
        };
        app.registry.call(&cx.ctx, message).await?;
        let stack_id = match &input.stack_template_id {
            Some(template) => Some(default_stack(app, cx, template, repository.repo_name).await?),
            None => None,
        };
        Ok(Progress::Done(Deployed { build_id: input.build_id.to_string(), stack_id }))
    }

    /// The platform is deleted with all that hangs on it; what is left is to take its stacks down, and to say how the
    /// build ended.
    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let input: Input = cx.input()?;
        if input.stack_template_id.is_some() {
            remove_stacks(app, cx).await?;
        }
        finish_build(app, cx, &input.build_id.to_string(), "failed").await
    }
}

/// Says how a build ended; one that is not there is no fault.
pub(crate) async fn finish_build(app: &App, cx: &StepCx, build_id: &str, status: &str) -> Result<()> {
    let message = FinishBuildRequest {
        platform_id: cx.subject.clone(),
        build_id: build_id.to_owned(),
        status: status.to_owned(),
        cf_deployment_id: None,
    };
    match app.registry.call(&cx.ctx, message).await {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        answer => answer.map(drop),
    }
}

async fn default_stack(app: &App, cx: &StepCx, template: &str, repo_name: String) -> Result<String> {
    let tenant = EnsureTenantRequest {
        platform_id: cx.subject.clone(),
        name: "Default".to_owned(),
        slug: "default".to_owned(),
    };
    let tenant = app.registry.call(&cx.ctx, tenant).await?;
    let stack = EnsureStackRequest {
        platform_id: cx.subject.clone(),
        tenant_id: tenant.entity_id,
        name: "default".to_owned(),
        is_default: true,
        template_id: template.to_owned(),
        repo_name: Some(repo_name),
    };
    let stack = app.registry.call(&cx.ctx, stack).await?;
    Ok(stack.stack_id)
}

const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Looks at jobs that take stacks down before the step gives the engine a turn.
const LOOKS: u32 = 40;

/// Takes down what there is of stacks, also of one whose making was never heard of.
async fn remove_stacks(app: &App, cx: &StepCx) -> Result<()> {
    let message = RemoveStacksRequest { platform_id: cx.subject.clone() };
    let answer = app.registry.call(&cx.ctx, message).await;
    let mut jobs = answer?.job_ids;
    for _ in 0..LOOKS {
        let mut left = Vec::new();
        for job in jobs {
            if !is_done(app, cx, &job).await? {
                left.push(job);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        jobs = left;
        tokio::time::sleep(ASK_AGAIN).await;
    }
    let message = format!("the jobs {} that take stacks down have not ended", jobs.join(", "));
    Err(Error::new(Kind::Upstream, message))
}

async fn is_done(app: &App, cx: &StepCx, job: &str) -> Result<bool> {
    let message = GetJobRequest { job_id: job.to_owned() };
    let answer = app.provisioning.call(&cx.ctx, message).await;
    match answer {
        Ok(told) => Ok(told.job.is_some_and(|job| job.status == JobStatus::Completed.as_str())),
        // It is yet to come.
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
