//! Explains why a platform is not active.

use domain::{
    JobId, PlatformId, Result,
    explain::{Explanation, Link},
    platform::PlatformStatus,
};
use identity::{Ctx, PlatformScope};
use runtime::clock::rfc3339_seconds as at;

use super::{lifecycle, model::PlatformRow, store};
use crate::{App, explain};

/// Explains a platform. Asks onboarding about its creation and provisioning about its removal.
pub(super) async fn explain_platform(
    app: &App,
    ctx: &Ctx,
    scope: &PlatformScope,
    deleted: bool,
) -> Result<Explanation> {
    let id = scope.id();
    let (platform, last) = app
        .db
        .read(ctx, async |c| {
            let platform = store::get(c, scope, deleted).await?;
            let last = match platform.status {
                PlatformStatus::Deleted => lifecycle::newest(c, scope).await?,
                _ => None,
            };
            Ok((platform, last))
        })
        .await?;
    let job = last.and_then(|event| event.job());
    let cause = match (platform.status, job) {
        (PlatformStatus::Pending | PlatformStatus::Provisioning, _) => {
            let explanation = rpc::explain::platform(&app.onboarding, ctx, id.as_str()).await;
            Some(explanation.unwrap_or_else(|| unknown(id))).filter(|one| !one.ready)
        }
        (PlatformStatus::Deleted, Some(job)) => explain::explain_job(app, ctx, id.as_str(), job).await?,
        _ => None,
    };
    let ready = match platform.status {
        PlatformStatus::Active => true,
        // The requested removal is done.
        PlatformStatus::Deleted => cause.is_none(),
        _ => false,
    };
    let link = Link::new("platform", id, platform.status, platform.status_sentence(job));
    Ok(Explanation::new(ready, link).caused_by(cause))
}

fn unknown(id: &PlatformId) -> Explanation {
    let sentence = format!("onboarding has no onboarding for the platform {id}");
    Explanation::new(false, Link::new("onboarding", id, "unknown", sentence))
}

impl PlatformRow {
    /// Returns the status as a sentence. `job` removes the infrastructure.
    fn status_sentence(&self, job: Option<JobId>) -> String {
        let because =
            |reason: &Option<String>| reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let since = |time| at(Option::unwrap_or(time, self.updated_at));
        match self.status {
            PlatformStatus::Active => "it is active".to_owned(),
            PlatformStatus::Pending | PlatformStatus::Provisioning => {
                "it waits for its onboarding".to_owned()
            }
            PlatformStatus::Suspended => {
                let reason = because(&self.suspension_reason);
                format!("it has been suspended since {}{reason}", since(self.suspended_at))
            }
            PlatformStatus::PendingCancellation => {
                let reason = because(&self.cancellation_reason);
                format!("it is cancelled and ends at {}{reason}", since(self.period_ends_at))
            }
            PlatformStatus::Cancelled => {
                let reason = because(&self.cancellation_reason);
                format!("it was cancelled and ended at {}{reason}", since(self.period_ends_at))
            }
            PlatformStatus::Deleted => {
                let down = job.map(|job| format!(", and job {job} removes its infrastructure"));
                format!("it was deleted at {}{}", since(self.deleted_at), down.unwrap_or_default())
            }
        }
    }
}
