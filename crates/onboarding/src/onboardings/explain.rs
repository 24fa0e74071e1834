//! Explanations of why an onboarding is not done.

use domain::{Error, PlatformId, Result, explain::Explanation, job::JobStatus};
use identity::Ctx;
use saga::{
    SagaStatus, SagaWithSteps,
    api::{self, LoadedSaga},
};
use uuid::Uuid;

use super::{
    model::{OnboardingRow, OnboardingView},
    store,
};
use crate::{App, steps};

/// Explains an onboarding for its owner or an operator, including its dependencies in the registry and provisioning.
pub(super) async fn explain(app: &App, ctx: &Ctx, id: Uuid) -> Result<Explanation> {
    Ok(with_dependencies(app, ctx, api::find(&app.db, ctx, id).await?).await)
}

/// Explains the newest onboarding of a platform.
pub(crate) async fn explain_platform(app: &App, ctx: &Ctx, platform: &PlatformId) -> Result<Explanation> {
    let scope = &ctx.caller.scope;
    let found = app
        .db
        .read(ctx, async |c| {
            let id = store::newest_for_platform(c, scope, platform).await?;
            LoadedSaga::load_unchecked(
                c,
                scope,
                id.ok_or_else(|| Error::not_found("onboarding of", platform))?,
            )
            .await
        })
        .await?;
    Ok(with_dependencies(app, ctx, found).await)
}

async fn with_dependencies(app: &App, ctx: &Ctx, found: LoadedSaga<OnboardingView>) -> Explanation {
    let dependency = dependency(app, ctx, &found.row, &found.record).await;
    found.explain().caused_by(dependency)
}

/// The explanation of the object in another service that the blocking step waits for, if that is not done.
async fn dependency(
    app: &App,
    ctx: &Ctx,
    row: &OnboardingRow,
    record: &SagaWithSteps,
) -> Option<Explanation> {
    if record.saga.paused_at.is_some() {
        return None;
    }
    let undoing = !matches!(record.saga.status, SagaStatus::Pending | SagaStatus::Running);
    let name = record.blocking_step()?.name.as_str();
    match name {
        _ if name == steps::PROVISION_INFRA.as_str() => {
            let job = rpc::explain::job(&app.provisioning, ctx, &row.provision_job_id.to_string()).await?;
            let undone = job.chain.first().is_some_and(|link| link.status == JobStatus::RolledBack.as_str());
            // An undo waits for the job to be rolled back.
            let done = job.ready || (undoing && undone);
            (!done).then_some(job)
        }
        _ if undoing && name == steps::DEPLOY_SERVICES.as_str() => stack(app, ctx, record).await,
        _ if !undoing && name == steps::VERIFY.as_str() => stack(app, ctx, record).await,
        _ => None,
    }
}

/// The explanation of the onboarding's stack, if it is not active yet, or not removed yet.
async fn stack(app: &App, ctx: &Ctx, record: &SagaWithSteps) -> Option<Explanation> {
    let id = record.output(steps::DEPLOY_SERVICES)?.stack_id?;
    let stack = rpc::explain::stack(&app.registry, ctx, &record.saga.subject, &id).await?;
    (!stack.ready).then_some(stack)
}
