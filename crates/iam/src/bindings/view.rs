//! API representation of bindings.

use chrono::{DateTime, Utc};
use domain::{EntityId, Name, PlatformId, Role};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::BindingRow;

/// Role of a user within a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Binding {
    pub(crate) id: Uuid,
    /// Subject of the user at the identity provider.
    #[schema(value_type = String)]
    pub(crate) subject: Name,
    pub(crate) role: Role,
    /// Platform of the scope. Null if the scope is all platforms.
    #[schema(value_type = Option<String>, required)]
    pub(crate) platform_id: Option<PlatformId>,
    /// Entity of the scope, with its descendants. Null if the scope is not limited to an entity.
    #[schema(value_type = Option<String>, required)]
    pub(crate) entity_id: Option<EntityId>,
    /// Caller who created the binding.
    pub(crate) created_by: String,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
}

impl From<BindingRow> for Binding {
    fn from(row: BindingRow) -> Self {
        Self {
            id: row.id,
            subject: row.subject,
            role: row.role,
            platform_id: row.platform_id,
            entity_id: row.entity_id,
            created_by: row.created_by,
            created_at: row.created_at,
        }
    }
}

impl From<&BindingRow> for Binding {
    fn from(row: &BindingRow) -> Self {
        Self::from(row.clone())
    }
}
