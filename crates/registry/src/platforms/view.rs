//! API representation of platforms.

use chrono::{DateTime, Utc};
use domain::{
    Name, PlatformId, Slug,
    platform::{PlatformStatus, Tier},
};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::PlatformRow;

/// A customer product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Platform {
    pub(crate) id: PlatformId,
    pub(crate) name: Name,
    pub(crate) slug: Slug,
    pub(crate) status: PlatformStatus,
    pub(crate) tier: Tier,
    #[schema(required)]
    pub(crate) cf_account_id: Option<String>,
    #[schema(required)]
    pub(crate) repo_name: Option<String>,
    #[schema(required)]
    pub(crate) stripe_customer_id: Option<String>,
    #[schema(required)]
    pub(crate) owner_user_id: Option<String>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) cancelled_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub(crate) cancellation_reason: Option<String>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) suspended_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub(crate) suspension_reason: Option<String>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) trial_ends_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) deleted_at: Option<DateTime<Utc>>,
}

impl From<PlatformRow> for Platform {
    fn from(row: PlatformRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            slug: row.slug,
            status: row.status,
            tier: row.tier,
            cf_account_id: row.cf_account_id,
            repo_name: row.repo_name,
            stripe_customer_id: row.stripe_customer_id,
            owner_user_id: row.owner_user_id,
            cancelled_at: row.cancelled_at,
            cancellation_reason: row.cancellation_reason,
            suspended_at: row.suspended_at,
            suspension_reason: row.suspension_reason,
            trial_ends_at: row.trial_ends_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
        }
    }
}

impl From<&PlatformRow> for Platform {
    fn from(row: &PlatformRow) -> Self {
        Self::from(row.clone())
    }
}
