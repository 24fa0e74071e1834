//! Why a custom domain is not active.

use domain::{
    DomainId, Result,
    explain::{Explanation, Link},
    resource::DomainStatus,
};
use identity::{Ctx, PlatformScope};
use runtime::clock::{self, rfc3339_seconds as at};

use super::{model::CustomDomainRow, store};
use crate::{App, platforms};

/// Over the border to provisioning, which checks it.
pub(super) async fn of(app: &App, ctx: &Ctx, scope: &PlatformScope, id: DomainId) -> Result<Explanation> {
    let domain = app
        .db
        .read(ctx, async |c| platforms::store::of_live(c, scope, store::get(c, scope, id)).await)
        .await?;
    let link = Link::new("custom_domain", id, domain.status, domain.says());
    let whole = Explanation::new(domain.status == DomainStatus::Active, link);
    // Whoever is to check it takes it up as soon as it is due.
    if domain.due_at.is_some_and(|due| due <= clock::now())
        && let Err(error) = app.provisioning.peer().ping().await
    {
        return Ok(whole.caused_by(Explanation::unanswered(app.provisioning.peer().name(), &error)));
    }
    Ok(whole)
}

impl CustomDomainRow {
    /// How it stands, in one sentence.
    fn says(&self) -> String {
        let Self { hostname, target_dns, .. } = self;
        let due = self.due_at.map(at).unwrap_or_default();
        let lapses = self.lapses_at.map(at).unwrap_or_default();
        match (self.status, &self.check_error) {
            (DomainStatus::Active, _) => {
                let seen = self.verified_at.map(at).unwrap_or_default();
                format!("it is active: {hostname} was seen to lead to {target_dns} at {seen}")
            }
            (DomainStatus::Failed, None) => "someone has ended its checks".to_owned(),
            (DomainStatus::Failed, Some(why)) => why.clone(),
            (DomainStatus::Pending, None) => {
                format!("it was not checked yet; its next check is due at {due}")
            }
            (DomainStatus::Pending, Some(why)) => format!(
                "{why}; it needs a CNAME record that leads to {target_dns}, is checked again at {due}, and lapses at \
                 {lapses}"
            ),
        }
    }
}
