//! Why a stack is not active.

use domain::{
    Result, StackId,
    deployment::StackStatus,
    explain::{Explanation, Link},
};
use identity::{Ctx, PlatformScope};
use runtime::clock::rfc3339_seconds as at;

use super::{model::StackRow, ops::subject, store};
use crate::{App, explain};

/// Over the border to provisioning, whose job brings it to what is wanted.
pub(super) async fn of(app: &App, ctx: &Ctx, scope: &PlatformScope, id: &StackId) -> Result<Explanation> {
    let stack = app.db.read(ctx, async |c| store::of_live(c, scope, id).await).await?;
    explained(app, ctx, stack).await
}

/// For services: also of a stack that is deleted, whether or not its platform is. What they wait for then is that it
/// is taken down.
pub(super) async fn of_any(app: &App, ctx: &Ctx, scope: &PlatformScope, id: &StackId) -> Result<Explanation> {
    let stack = app.db.read(ctx, async |c| store::any(c, scope, id).await).await?;
    explained(app, ctx, stack).await
}

async fn explained(app: &App, ctx: &Ctx, stack: StackRow) -> Result<Explanation> {
    let gone = stack.deleted_at.is_some();
    let job = stack.provision_job_id.filter(|_| gone || stack.status.is_changing());
    let deeper = match job {
        Some(job) => explain::job(app, ctx, &subject(&stack), job).await?,
        None => None,
    };
    let ready = if gone { deeper.is_none() } else { stack.status == StackStatus::Active };
    let status = if gone { "deleted" } else { stack.status.as_str() };
    let whole = Explanation::new(ready, Link::new("stack", &stack.id, status, sentence(&stack)));
    Ok(whole.caused_by(deeper))
}

/// The status, in one sentence.
fn sentence(stack: &StackRow) -> String {
    let job = stack.provision_job_id.map(|job| format!("job {job}")).unwrap_or_default();
    if let Some(time) = stack.deleted_at {
        return format!("it is deleted since {}, and {job} takes it down", at(time));
    }
    match (stack.status, &stack.error) {
        (StackStatus::Active, None) => "it is active".to_owned(),
        (StackStatus::Active, Some(why)) => format!("it is active, but its last change failed: {why}"),
        (StackStatus::Failed, why) => format!("it failed: {}", why.as_deref().unwrap_or_default()),
        (StackStatus::Pending, _) => format!("it waits for {job}, which has not begun"),
        (StackStatus::Provisioning, _) => format!("it waits for {job}"),
    }
}
