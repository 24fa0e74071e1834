//! The early check of a user's platform quota. The registry enforces the quota when it creates the platform; this check
//! rejects an onboarding at once, and also counts platforms that are still being onboarded.

use std::collections::BTreeSet;

use database::Tx;
use domain::{Result, platform::Tier};
use identity::Ctx;
use rpc::{
    enum_number,
    registry::{CheckQuotaRequest, CheckQuotaResponse},
};
use saga::SagaStatus;
use uuid::Uuid;

use super::ops;
use crate::App;

/// Returns true if the quota applies to the caller: it applies to everyone but operators.
pub(super) fn applies_to(ctx: &Ctx) -> bool {
    !ctx.caller.is_operator()
}

/// The platform limit and the platforms of a user, according to the registry.
pub(super) struct Quota {
    tier: Tier,
    response: CheckQuotaResponse,
    /// The onboardings completed before the request to the registry, whose response thus covers their platforms.
    completed: BTreeSet<Uuid>,
}

impl Quota {
    /// Fetches the quota from the registry. Returns `None` if there is no limit or the registry does not respond; in the
    /// latter case, the first step enforces the quota.
    pub(super) async fn fetch(app: &App, ctx: &Ctx, tier: Tier) -> Result<Option<Self>> {
        if !applies_to(ctx) {
            return Ok(None);
        }
        let user = &ctx.caller.id;
        let sagas = app.db.read(ctx, async |c| saga::by_fairness_key(c, user).await).await?;
        let completed = sagas.into_iter().filter(|(_, status, _)| *status == SagaStatus::Completed);
        let message = CheckQuotaRequest { owner_user_id: user.clone(), tier: enum_number(tier) };
        let response = app.registry.call_with(ctx, ops::short_deadline(), message).await;
        let response = ops::ok_or_log("the quota", response).filter(|quota| quota.limit > 0);
        Ok(response.map(|response| Self {
            tier,
            response,
            completed: completed.map(|(id, ..)| id).collect(),
        }))
    }

    /// Rejects a platform beyond the limit. Concurrent requests of the same user run one after the other.
    ///
    /// # Errors
    /// [`domain::Kind::QuotaExceeded`], whose details contain the numbers.
    pub(super) async fn check(&self, tx: &mut Tx, ctx: &Ctx) -> Result<()> {
        let user = &ctx.caller.id;
        let lock = format!("platforms of {user}");
        let sagas = saga::by_fairness_key(tx.advisory_lock(&lock).await?, user).await?;
        let others = sagas.into_iter().filter(|(id, ..)| !self.completed.contains(id));
        let mut platforms: BTreeSet<String> = others.map(|(.., platform)| platform).collect();
        platforms.extend(self.response.platform_ids.iter().cloned());
        self.tier.check_platform_limit(self.response.limit, platforms.len())
    }
}
