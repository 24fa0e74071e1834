//! Explains why a custom domain is not active.

use domain::{
    DomainId, Result,
    explain::{Explanation, Link},
    resource::DomainStatus,
};
use identity::{Ctx, PlatformScope};
use runtime::clock::{self, rfc3339_seconds as at};

use super::{model::CustomDomainRow, store};
use crate::{App, platforms};

/// Explains a custom domain. Pings provisioning, which checks it, when the check is due.
pub(super) async fn explain_domain(
    app: &App,
    ctx: &Ctx,
    scope: &PlatformScope,
    id: DomainId,
) -> Result<Explanation> {
    let domain = app
        .db
        .read(ctx, async |c| platforms::store::in_existing_platform(c, scope, store::get(c, scope, id)).await)
        .await?;
    let link = Link::new("custom_domain", id, domain.status, domain.status_sentence());
    let explanation = Explanation::new(domain.status == DomainStatus::Active, link);
    // Provisioning checks a domain as soon as it is due.
    if domain.due_at.is_some_and(|due| due <= clock::now())
        && let Err(error) = app.provisioning.peer().ping().await
    {
        return Ok(explanation.caused_by(Explanation::unanswered(app.provisioning.peer().name(), &error)));
    }
    Ok(explanation)
}

impl CustomDomainRow {
    /// Returns the status as a sentence.
    fn status_sentence(&self) -> String {
        let Self { hostname, target_dns, .. } = self;
        let due = self.due_at.map(at).unwrap_or_default();
        let lapses = self.lapses_at.map(at).unwrap_or_default();
        match (self.status, &self.check_error) {
            (DomainStatus::Active, _) => {
                let verified = self.verified_at.map(at).unwrap_or_default();
                format!("it is active: {hostname} was verified to point to {target_dns} at {verified}")
            }
            (DomainStatus::Failed, None) => "its checks were ended by a user".to_owned(),
            (DomainStatus::Failed, Some(reason)) => reason.clone(),
            (DomainStatus::Pending, None) => {
                format!("it has not been checked yet; its first check is due at {due}")
            }
            (DomainStatus::Pending, Some(reason)) => format!(
                "{reason}; it needs a CNAME record that points to {target_dns}, its next check is due at {due}, and its claim \
                 lapses at {lapses}"
            ),
        }
    }
}
