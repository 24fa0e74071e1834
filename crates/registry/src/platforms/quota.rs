//! Tier quotas: limits on the platforms of a user and on the contents of a platform. They do not apply to operators and
//! services.

use database::{Conn, Tx};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, sql_query, sql_types as t};
use diesel_async::RunQueryDsl;
use domain::{Result, Slug, platform::Tier};
use identity::{PlatformScope, WriteCtx};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{model::NewPlatform, store};
use crate::schema::platforms::dsl as p;

/// Limits of one tier; 0 means no limit.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Number of owned platforms, of any tier, at which a user cannot create another one of this tier.
    pub platforms: u32,
    /// Tenants that are not deleted.
    pub tenants: u32,
    /// Distinct features that are active or being activated, across all entities and environments.
    pub features: u32,
}

/// Limits of all tiers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    pub starter: Quota,
    pub growth: Quota,
    pub scale: Quota,
}

impl Quotas {
    pub(crate) const fn for_tier(&self, tier: Tier) -> Quota {
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

/// Rejects a new platform when the user has reached the limit of its tier. Concurrent requests of the same user run one
/// after another.
///
/// # Errors
/// [`domain::Kind::QuotaExceeded`], with the limit in its details.
pub(crate) async fn check_platforms(tx: &mut Tx, quotas: &Quotas, new: &NewPlatform) -> Result<()> {
    let limit = quotas.for_tier(new.tier).platforms;
    let Some(owner) = new.owner_user_id.as_deref().filter(|_| new.limited && limit > 0) else {
        return Ok(());
    };
    let owned = store::owned(tx.advisory_lock(&format!("platforms of {owner}")).await?, owner).await?;
    new.tier.check_platform_limit(limit, owned.len())
}

/// Rejects a new tenant when the platform has reached the limit of its tier.
///
/// # Errors
/// [`domain::Kind::QuotaExceeded`], with the limit in its details.
pub(crate) async fn check_tenants(
    tx: &mut Tx,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    quotas: &Quotas,
) -> Result<()> {
    let Some((tier, quota)) = limited_tier(tx, ctx, scope, quotas).await? else { return Ok(()) };
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
    check_limit("tenants", tier, quota.tenants, counted.n < limit)
}

/// Rejects features beyond the limit of the platform's tier. Features that the platform already has are free.
///
/// # Errors
/// [`domain::Kind::QuotaExceeded`], with the limit in its details.
pub(crate) async fn check_features(
    tx: &mut Tx,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    quotas: &Quotas,
    features: &[&Slug],
) -> Result<()> {
    let Some((tier, quota)) = limited_tier(tx, ctx, scope, quotas).await? else { return Ok(()) };
    let limit = i64::from(quota.features);
    if limit == 0 {
        return Ok(());
    }
    let mut c = &*tx.widen_to_platform(scope).await?;
    // Cheap: a platform with a limit has few activations.
    let counted: Count = sql_query(
        "SELECT count(*) AS n FROM (SELECT feature_id FROM feature_activations WHERE platform_id = $1 \
             AND status NOT IN ('failed', 'deactivated') UNION SELECT unnest($2::text[]) LIMIT $3) found",
    )
    .bind::<t::Text, _>(scope.id())
    .bind::<t::Array<t::Text>, _>(features)
    .bind::<t::BigInt, _>(limit + 1)
    .get_result(&mut c)
    .await?;
    check_limit("features", tier, quota.features, counted.n <= limit)
}

/// Returns the platform's tier and its limits, or `None` if limits do not apply to the caller. Locks the platform, so
/// that concurrent requests cannot exceed a limit together.
async fn limited_tier(
    tx: &mut Tx,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    quotas: &Quotas,
) -> Result<Option<(Tier, Quota)>> {
    if ctx.caller.scope.is_all() {
        return Ok(None);
    }
    let c: &Conn = tx.widen_to_platform(scope).await?;
    let mut c = c;
    let tier: Option<Tier> = p::platforms
        .filter(p::id.eq(scope.id()))
        .select(p::tier)
        .for_no_key_update()
        .first(&mut c)
        .await
        .optional()?;
    Ok(tier.map(|tier| (tier, quotas.for_tier(tier))))
}

fn check_limit(name: &'static str, tier: Tier, limit: u32, fits: bool) -> Result<()> {
    if fits {
        return Ok(());
    }
    let message = format!("A platform of tier {tier} can have at most {limit} {name}.");
    Err(tier.quota_exceeded(name, limit, message))
}
