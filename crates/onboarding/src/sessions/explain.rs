//! Why an onboarding is not done.

use domain::{Error, PlatformId, Result, explain::Explanation, job::JobStatus};
use identity::Ctx;
use saga::{
    SagaStatus, SagaWithSteps,
    api::{self, LoadedSaga},
};
use uuid::Uuid;

use super::{
    model::{Session, SessionRow},
    store,
};
use crate::{App, steps};

/// For its owner or an operator: what it waits for, over the borders to the registry and provisioning.
pub(super) async fn of(app: &App, ctx: &Ctx, id: Uuid) -> Result<Explanation> {
    Ok(explained(app, ctx, api::find(&app.db, ctx, id).await?).await)
}

/// The same of the newest onboarding that was to make a platform.
pub(crate) async fn of_platform(app: &App, ctx: &Ctx, platform: &PlatformId) -> Result<Explanation> {
    let scope = &ctx.caller.scope;
    let found = app
        .db
        .read(ctx, async |c| {
            let id = store::newest_of(c, scope, platform).await?;
            LoadedSaga::load_unchecked(
                c,
                scope,
                id.ok_or_else(|| Error::not_found("onboarding of", platform))?,
            )
            .await
        })
        .await?;
    Ok(explained(app, ctx, found).await)
}

async fn explained(app: &App, ctx: &Ctx, found: LoadedSaga<Session>) -> Explanation {
    let deeper = deeper(app, ctx, &found.row, &found.record).await;
    found.explain().caused_by(deeper)
}

/// What the step that holds it up waits for in another service, if that is not done.
async fn deeper(app: &App, ctx: &Ctx, row: &SessionRow, told: &SagaWithSteps) -> Option<Explanation> {
    if told.saga.paused_at.is_some() {
        return None;
    }
    let back = !matches!(told.saga.status, SagaStatus::Pending | SagaStatus::Running);
    let name = told.blocking_step()?.name.as_str();
    match name {
        _ if name == steps::PROVISION_INFRA.as_str() => {
            let job = rpc::explain::job(&app.provisioning, ctx, &row.provision_job_id.to_string()).await?;
            let undone = job.chain.first().is_some_and(|link| link.status == JobStatus::RolledBack.as_str());
            // Gone back, it waits for the job to be undone.
            let done = job.ready || (back && undone);
            (!done).then_some(job)
        }
        _ if back && name == steps::DEPLOY_SERVICES.as_str() => stack(app, ctx, told).await,
        _ if !back && name == steps::VERIFY.as_str() => stack(app, ctx, told).await,
        _ => None,
    }
}

/// The stack that was asked for, if it is not there yet, or not gone yet.
async fn stack(app: &App, ctx: &Ctx, told: &SagaWithSteps) -> Option<Explanation> {
    let id = told.output(steps::DEPLOY_SERVICES)?.stack_id?;
    let stack = rpc::explain::stack(&app.registry, ctx, &told.saga.subject, &id).await?;
    (!stack.ready).then_some(stack)
}
