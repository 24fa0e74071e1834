//! How many platforms a person may have. The registry holds the limit when it makes the platform; here one too many is
//! refused at once, also while the platforms before it are still being made.

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

/// Whether the caller is held to what a tier allows: people are, unless they are operators.
pub(super) fn holds(ctx: &Ctx) -> bool {
    !ctx.caller.is_operator()
}

/// What a person may have and what they have, as the registry knows it.
pub(super) struct Allowance {
    tier: Tier,
    told: CheckQuotaResponse,
    /// The onboardings that were complete before the registry was asked: what became of their platforms, it knows.
    complete: BTreeSet<Uuid>,
}

impl Allowance {
    /// Asks the registry; none where there is no limit, or the registry cannot be asked: then the first step finds it out.
    pub(super) async fn ask(app: &App, ctx: &Ctx, tier: Tier) -> Result<Option<Self>> {
        if !holds(ctx) {
            return Ok(None);
        }
        let person = &ctx.caller.id;
        let known = app.db.read(ctx, async |c| saga::by_fairness_key(c, person).await).await?;
        let complete = known.into_iter().filter(|(_, status, _)| *status == SagaStatus::Completed);
        let message = CheckQuotaRequest { owner_user_id: person.clone(), tier: enum_number(tier) };
        let answer = app.registry.call_with(ctx, ops::brief(), message).await;
        let told = ops::if_answered("the quota", answer).filter(|told| told.limit > 0);
        Ok(told.map(|told| Self { tier, told, complete: complete.map(|(id, ..)| id).collect() }))
    }

    /// Refuses one platform more than the tier allows. Of several at once the others wait until the first is recorded.
    ///
    /// # Errors
    /// [`domain::Kind::QuotaExceeded`], whose details tell the numbers.
    pub(super) async fn check(&self, tx: &mut Tx, ctx: &Ctx) -> Result<()> {
        let person = &ctx.caller.id;
        let under_way =
            saga::by_fairness_key(tx.advisory_lock(&format!("platforms of {person}")).await?, person).await?;
        let made = under_way.into_iter().filter(|(id, ..)| !self.complete.contains(id));
        let mut platforms: BTreeSet<String> = made.map(|(.., platform)| platform).collect();
        platforms.extend(self.told.platform_ids.iter().cloned());
        self.tier.check_platform_limit(self.told.limit, platforms.len())
    }
}
