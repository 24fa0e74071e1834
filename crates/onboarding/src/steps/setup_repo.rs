//! The platform's repository, made from the starter with one commit, and its name in the registry.

use async_trait::async_trait;
use domain::{Kind, Result};
use rpc::{
    provisioning::{DeleteRepositoryRequest, EnsureRepositoryRequest},
    registry::SetRepositoryRequest,
};
use saga::{Progress, Step, StepCx, StepKey, StepName};
use serde::{Deserialize, Serialize};

use crate::{App, sessions::model::Input, steps};

pub(crate) struct SetupRepo;

/// What later steps know of the repository.
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
        let input: Input = cx.input()?;
        let message = EnsureRepositoryRequest {
            platform_id: cx.subject.clone(),
            platform_name: input.platform_name.to_string(),
            platform_slug: input.slug.to_string(),
        };
        let answer = app.provisioning.call(&cx.ctx, message).await;
        let made = answer?;
        set_in_registry(app, cx, Some(made.repo_name.clone())).await?;
        Ok(Progress::Done(Repository { repo_name: made.repo_name, commit_sha: made.commit_sha }))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let message = DeleteRepositoryRequest { platform_id: cx.subject.clone() };
        let answer = app.provisioning.call(&cx.ctx, message).await;
        answer?;
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
