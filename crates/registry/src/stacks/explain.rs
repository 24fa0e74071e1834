//! Explains why a stack is not active.

use domain::{
    Result, StackId,
    deployment::StackStatus,
    explain::{Explanation, Link},
};
use identity::{Ctx, PlatformScope};
use runtime::clock::rfc3339_seconds as at;

use super::{model::StackRow, ops::subject, store};
use crate::{App, explain};

/// Explains a stack. Asks provisioning about the job that changes it.
pub(super) async fn explain_stack(
    app: &App,
    ctx: &Ctx,
    scope: &PlatformScope,
    id: &StackId,
) -> Result<Explanation> {
    let stack = app.db.read(ctx, async |c| store::get_existing(c, scope, id).await).await?;
    explain_row(app, ctx, stack).await
}

/// Explains a stack to services, also if it or its platform is deleted: they wait for its removal.
pub(super) async fn explain_any_stack(
    app: &App,
    ctx: &Ctx,
    scope: &PlatformScope,
    id: &StackId,
) -> Result<Explanation> {
    let stack = app.db.read(ctx, async |c| store::get_any(c, scope, id).await).await?;
    explain_row(app, ctx, stack).await
}

async fn explain_row(app: &App, ctx: &Ctx, stack: StackRow) -> Result<Explanation> {
    let is_deleted = stack.deleted_at.is_some();
    let job = stack.provision_job_id.filter(|_| is_deleted || stack.status.is_changing());
    let cause = match job {
        Some(job) => explain::explain_job(app, ctx, &subject(&stack), job).await?,
        None => None,
    };
    let ready = if is_deleted { cause.is_none() } else { stack.status == StackStatus::Active };
    let status = if is_deleted { "deleted" } else { stack.status.as_str() };
    let explanation = Explanation::new(ready, Link::new("stack", &stack.id, status, sentence(&stack)));
    Ok(explanation.caused_by(cause))
}

/// Returns the status as a sentence.
fn sentence(stack: &StackRow) -> String {
    let job = stack.provision_job_id.map(|job| format!("job {job}")).unwrap_or_default();
    if let Some(time) = stack.deleted_at {
        return format!("it was deleted at {}, and {job} removes it", at(time));
    }
    match (stack.status, &stack.error) {
        (StackStatus::Active, None) => "it is active".to_owned(),
        (StackStatus::Active, Some(reason)) => format!("it is active, but its last change failed: {reason}"),
        (StackStatus::Failed, reason) => format!("it failed: {}", reason.as_deref().unwrap_or_default()),
        (StackStatus::Pending, _) => format!("it waits for {job}, which has not started"),
        (StackStatus::Provisioning, _) => format!("it waits for {job}"),
    }
}
