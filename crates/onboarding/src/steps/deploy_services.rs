//! The step that starts the first build and, if a template was requested, creates a default tenant with a default stack,
//! which the verify step waits for. Provisioning has already set and marked the secrets of the platform's workers.

use async_trait::async_trait;
use domain::{
    Error, Kind, Result,
    build::{BuildStatus, BuildTrigger},
    job::JobStatus,
    resource::Environment,
};
use rpc::{
    enum_number,
    registry::{
        EnsureStackRequest, EnsureTenantRequest, FinishBuildRequest, RemoveStacksRequest, StartBuildRequest,
    },
};
use saga::{Progress, Step, StepCx, StepKey, Wait};
use serde::{Deserialize, Serialize};

use crate::{App, onboardings::model::OnboardingInput};

pub(crate) struct DeployServices;

/// The output, for the verify step.
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
        let input: OnboardingInput = cx.input()?;
        let repository = cx.output(super::SETUP_REPO)?;
        let message = StartBuildRequest {
            build_id: input.build_id.to_string(),
            platform_id: cx.subject.clone(),
            environment: enum_number(Environment::Prod),
            triggered_by: enum_number(BuildTrigger::Manual),
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

    /// Removes the stacks and waits until they are gone. The tenant is deleted with the platform.
    async fn before_undo(&self, app: &App, cx: &StepCx) -> Result<Option<Wait>> {
        match cx.input::<OnboardingInput>()?.stack_template_id {
            Some(_) => remove_stacks(app, cx).await,
            None => Ok(None),
        }
    }

    /// Marks the build as failed.
    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let input: OnboardingInput = cx.input()?;
        finish_build(app, cx, &input.build_id.to_string(), BuildStatus::Failed).await
    }
}

/// Records the end of a build. A build that does not exist is ignored.
pub(crate) async fn finish_build(app: &App, cx: &StepCx, build_id: &str, status: BuildStatus) -> Result<()> {
    let message = FinishBuildRequest {
        platform_id: cx.subject.clone(),
        build_id: build_id.to_owned(),
        status: enum_number(status),
        cf_deployment_id: None,
    };
    match app.registry.call(&cx.ctx, message).await {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        response => response.map(drop),
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

/// Removes all stacks of the platform, including one whose creation had no response. Returns a wait for the first job
/// that has not ended; the engine calls it again until all have ended.
async fn remove_stacks(app: &App, cx: &StepCx) -> Result<Option<Wait>> {
    let message = RemoveStacksRequest { platform_id: cx.subject.clone() };
    for id in app.registry.call(&cx.ctx, message).await?.job_ids {
        let id = rpc::parse_uuid("job_ids", &id)?;
        // A job that does not exist has not been delivered yet.
        let job = super::job(app, cx, id).await?;
        match job.as_ref().map(super::status).transpose()? {
            Some(JobStatus::Completed) => {}
            Some(status @ (JobStatus::Failed | JobStatus::RolledBack)) => {
                let message = format!("The job {id}, which removes a stack, is {status}.");
                return Err(Error::new(Kind::Upstream, message));
            }
            _ => return Ok(Some(app.job_ends.wait(cx, super::waits_for(&id, job.unwrap_or_default())))),
        }
    }
    Ok(None)
}
