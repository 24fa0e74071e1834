//! Bindings as the API shows them.

use chrono::{DateTime, Utc};
use domain::{EntityId, Name, PlatformId, Role};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::BindingRow;

/// A role that a person is granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Binding {
    pub(crate) id: Uuid,
    /// The person, as their identity provider calls them.
    #[schema(value_type = String)]
    pub(crate) subject: Name,
    pub(crate) role: Role,
    /// With `entityId` null: the whole platform. Both null: everything.
    #[schema(value_type = Option<String>, required)]
    pub(crate) platform_id: Option<PlatformId>,
    /// The entity, with what is under it.
    #[schema(value_type = Option<String>, required)]
    pub(crate) entity_id: Option<EntityId>,
    /// The caller who created it.
    pub(crate) created_by: String,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
}

impl From<&BindingRow> for Binding {
    fn from(row: &BindingRow) -> Self {
        Self {
            id: row.id,
            subject: row.subject.clone(),
            role: row.role,
            platform_id: row.platform_id.clone(),
            entity_id: row.entity_id.clone(),
            created_by: row.created_by.clone(),
            created_at: row.created_at,
        }
    }
}
