//! API representation of entities.

use chrono::{DateTime, Utc};
use domain::{
    EntityId, Name, PlatformId, Slug,
    entity::{EntityStatus, EntityType},
};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::EntityRow;

/// A tenant or subtenant of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entity {
    pub(crate) id: EntityId,
    pub(crate) platform_id: PlatformId,
    #[schema(required)]
    pub(crate) parent_id: Option<EntityId>,
    #[serde(rename = "type")]
    pub(crate) kind: EntityType,
    pub(crate) name: Name,
    pub(crate) slug: Slug,
    pub(crate) status: EntityStatus,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) deleted_at: Option<DateTime<Utc>>,
}

impl From<EntityRow> for Entity {
    fn from(row: EntityRow) -> Self {
        Self {
            id: row.id,
            platform_id: row.platform_id,
            parent_id: row.parent_id,
            kind: row.kind,
            name: row.name,
            slug: row.slug,
            status: row.status,
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
        }
    }
}

impl From<&EntityRow> for Entity {
    fn from(row: &EntityRow) -> Self {
        Self::from(row.clone())
    }
}
