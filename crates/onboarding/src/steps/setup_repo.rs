//! The step that creates the platform's repository from the starter, and records its name in the registry.

use async_trait::async_trait;
use domain::{Kind, Result};
use rpc::{
    provisioning::{DeleteRepositoryRequest, EnsureRepositoryRequest},
    registry::SetRepositoryRequest,
};
use saga::{Progress, Step, StepCx, StepKey, StepName};
use serde::{Deserialize, Serialize};

use crate::{App, onboardings::model::OnboardingInput, steps};

pub(crate) struct SetupRepo;

/// The output, for later steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Repository {
    pub(crate) repo_name: String,
    pub(crate) commit_sha: String,
}

#[async_trait]
impl Step<App> for SetupRepo {
    type Output = Repository;

    fn key(&self) -> StepKey<Repository> {
        super::SETUP_REPO
    }

    fn needs(&self) -> Option<&'static [StepName]> {
        Some(const { &[steps::CREATE_PLATFORM.name()] })
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Repository>> {
        let input: OnboardingInput = cx.input()?;
        let message = EnsureRepositoryRequest {
            platform_id: cx.subject.clone(),
            platform_name: input.platform_name.to_string(),
            platform_slug: input.slug.to_string(),
        };
        let repository = app.provisioning.call(&cx.ctx, message).await?;
        set_in_registry(app, cx, Some(repository.repo_name.clone())).await?;
        let (repo_name, commit_sha) = (repository.repo_name, repository.commit_sha);
        Ok(Progress::Done(Repository { repo_name, commit_sha }))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let message = DeleteRepositoryRequest { platform_id: cx.subject.clone() };
        app.provisioning.call(&cx.ctx, message).await?;
        match set_in_registry(app, cx, None).await {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            done => done,
        }
    }
}

async fn set_in_registry(app: &App, cx: &StepCx, repo_name: Option<String>) -> Result<()> {
    let message = SetRepositoryRequest { platform_id: cx.subject.clone(), repo_name };
    app.registry.call(&cx.ctx, message).await?;
    Ok(())
}
