//! Why an onboarding is not done.

use domain::{
    Kind, Result,
    explain::{Explanation, Link},
    onboarding::SessionStatus,
};
use kit::{Ctx, clock, grpc::PeerCall};
use rpc::provisioning::{ExplainJobRequest, provisioning_client::ProvisioningClient};
use uuid::Uuid;

use super::{model::Session, ops, store};
use crate::{App, steps};

/// For its owner or an operator: what it waits for, over the border to provisioning.
pub(super) async fn of(app: &App, ctx: &Ctx, id: Uuid) -> Result<Explanation> {
    let scope = &ctx.caller.scope;
    let (row, told) = app.db.read(async |c| store::get(c, scope, id).await).await?;
    ops::may_see(ctx, &row)?;
    let (says, job) = (told.says(clock::now()), row.provision_job_id);
    let session = Session::of(row, &told.saga, &told.steps);
    let waits = session.status == SessionStatus::InProgress
        && session.paused_at.is_none()
        && session.current_step.as_deref() == Some(steps::PROVISION_INFRA);
    let link = Link {
        thing: "onboarding".to_owned(),
        id: session.id.to_string(),
        status: session.status.to_string(),
        says,
    };
    let whole = Explanation::of(session.status == SessionStatus::Completed, link);
    if !waits {
        return Ok(whole);
    }
    match job_explained(app, ctx, job).await {
        Ok(job) if job.ready => Ok(whole),
        Ok(job) => Ok(whole.under(job)),
        // Not asked for yet: what the onboarding says of itself is all there is.
        Err(error) if error.kind() == Kind::NotFound => Ok(whole),
        Err(error) if error.kind().is_transient() => {
            Ok(whole.under(Explanation::unreachable("provisioning")))
        }
        Err(error) => Err(error),
    }
}

async fn job_explained(app: &App, ctx: &Ctx, job: Uuid) -> Result<Explanation> {
    let message = ExplainJobRequest { job_id: job.to_string() };
    let request = app.provisioning.request(ctx, PeerCall::default(), message)?;
    let answer = ProvisioningClient::new(app.provisioning.channel()).explain_job(request).await;
    app.provisioning.answer(answer).map(Explanation::from)
}
