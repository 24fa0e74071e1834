//! What a tier allows: how many platforms a person may have to be given one of it, and what a platform of it may have.
//! Operators and services are not held to it.

use database::{Conn, Tx};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, sql_query, sql_types as t};
use diesel_async::RunQueryDsl;
use domain::{Result, Slug, platform::Tier};
use identity::{PlatformScope, WriteCtx};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{model::NewPlatform, store};
use crate::schema::platforms::dsl as p;

/// What one tier allows; 0 is no limit.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Platforms, of whatever tier, with which a person gets no other one of this tier.
    pub platforms: u32,
    /// Tenants that are not deleted.
    pub tenants: u32,
    /// Different features that run, or are about to, whatever entity runs them and where.
    pub features: u32,
}

/// What each tier allows.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    pub starter: Quota,
    pub growth: Quota,
    pub scale: Quota,
}

impl Quotas {
    pub(crate) const fn of(&self, tier: Tier) -> Quota {
        match tier {
            Tier::Starter => self.starter,
            Tier::Growth => self.growth,
            Tier::Scale => self.scale,
        }
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = t::BigInt)]
    n: i64,
}

/// Refuses a new platform to a person who has as many as its tier allows. Of several at once the others wait until the
/// first has ended.
///
/// # Errors
/// [`domain::Kind::QuotaExceeded`], whose details tell the number.
pub(crate) async fn platform(tx: &mut Tx, quotas: &Quotas, new: &NewPlatform) -> Result<()> {
    let limit = quotas.of(new.tier).platforms;
    let Some(owner) = new.owner_user_id.as_deref().filter(|_| new.limited && limit > 0) else {
        return Ok(());
    };
    let owned = store::owned(tx.hold(&format!("platforms of {owner}")).await?, owner).await?;
    new.tier.check_platform_limit(limit, owned.len())
}

/// Refuses one tenant more than the platform's tier allows.
///
/// # Errors
/// [`domain::Kind::QuotaExceeded`], whose details tell the number.
pub(crate) async fn tenant(
    tx: &mut Tx,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    quotas: &Quotas,
) -> Result<()> {
    let Some((tier, quota)) = held(tx, ctx, scope, quotas).await? else { return Ok(()) };
    let limit = i64::from(quota.tenants);
    if limit == 0 {
        return Ok(());
    }
    let mut c = &*tx.conn().await?;
    let counted: Count = sql_query(
        "SELECT count(*) AS n FROM (SELECT FROM entities WHERE platform_id = $1 AND type = 'tenant' \
         AND deleted_at IS NULL LIMIT $2) found",
    )
    .bind::<t::Text, _>(scope.id())
    .bind::<t::BigInt, _>(limit)
    .get_result(&mut c)
    .await?;
    refuse("tenants", tier, quota.tenants, counted.n < limit)
}

/// Refuses features beyond what the platform's tier allows; those that it has already cost nothing.
///
/// # Errors
/// [`domain::Kind::QuotaExceeded`], whose details tell the number.
pub(crate) async fn features(
    tx: &mut Tx,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    quotas: &Quotas,
    wanted: &[&Slug],
) -> Result<()> {
    let Some((tier, quota)) = held(tx, ctx, scope, quotas).await? else { return Ok(()) };
    let limit = i64::from(quota.features);
    if limit == 0 {
        return Ok(());
    }
    let mut c = &*tx.see_platform(scope).await?;
    // A platform that is held to a limit has few.
    let counted: Count = sql_query(
        "SELECT count(*) AS n FROM (SELECT feature_id FROM feature_activations WHERE platform_id = $1 \
             AND status NOT IN ('failed', 'deactivated') UNION SELECT unnest($2::text[]) LIMIT $3) found",
    )
    .bind::<t::Text, _>(scope.id())
    .bind::<t::Array<t::Text>, _>(wanted)
    .bind::<t::BigInt, _>(limit + 1)
    .get_result(&mut c)
    .await?;
    refuse("features", tier, quota.features, counted.n <= limit)
}

/// The platform's tier and what it allows, if the caller is held to it. Whoever asks next waits until the transaction has
/// ended, so that two at once do not pass together.
async fn held(
    tx: &mut Tx,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    quotas: &Quotas,
) -> Result<Option<(Tier, Quota)>> {
    if ctx.caller.scope.is_all() {
        return Ok(None);
    }
    let c: &Conn = tx.see_platform(scope).await?;
    let mut c = c;
    let tier: Option<Tier> = p::platforms
        .filter(p::id.eq(scope.id()))
        .select(p::tier)
        .for_no_key_update()
        .first(&mut c)
        .await
        .optional()?;
    Ok(tier.map(|tier| (tier, quotas.of(tier))))
}

fn refuse(what: &'static str, tier: Tier, limit: u32, fits: bool) -> Result<()> {
    if fits {
        return Ok(());
    }
    let message = format!("A platform of tier {tier} has at most {limit} {what}");
    Err(tier.quota_exceeded(what, limit, message))
}
