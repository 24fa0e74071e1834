//! API representation of feature activations.

use chrono::{DateTime, Utc};
use domain::{
    ActivationId, EntityId, PlatformId, Slug, Version, deployment::FeatureStatus, resource::Environment,
};
use runtime::clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::model::ActivationRow;

/// A feature that an entity runs or ran in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Activation)]
pub(crate) struct ActivationView {
    #[schema(value_type = Uuid)]
    pub(crate) id: ActivationId,
    pub(crate) platform_id: PlatformId,
    pub(crate) entity_id: EntityId,
    pub(crate) feature_id: Slug,
    /// The last requested version.
    pub(crate) feature_version: Version,
    pub(crate) environment: Environment,
    pub(crate) status: FeatureStatus,
    /// Reason of the failure; for an active feature, of its last upgrade.
    #[schema(required)]
    pub(crate) error: Option<String>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) activated_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) deactivated_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
}

impl From<ActivationRow> for ActivationView {
    fn from(row: ActivationRow) -> Self {
        Self {
            id: row.id,
            platform_id: row.platform_id,
            entity_id: row.entity_id,
            feature_id: row.feature_id,
            feature_version: row.feature_version,
            environment: row.environment,
            status: row.status,
            error: row.error,
            activated_at: row.activated_at,
            deactivated_at: row.deactivated_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<&ActivationRow> for ActivationView {
    fn from(row: &ActivationRow) -> Self {
        Self::from(row.clone())
    }
}
