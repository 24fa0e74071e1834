//! Keys as the API shows them.

use chrono::{DateTime, Utc};
use domain::{EntityId, Name, PlatformId, Role, api_key};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::KeyRow;

/// A key, without its secret's digest: so that no audit entry, answer or log line can hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Key {
    pub(crate) id: Uuid,
    pub(crate) name: Name,
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
    /// Null for one that does not expire.
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// To the minute; null for one that was never used.
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) revoked_at: Option<DateTime<Utc>>,
}

impl From<&KeyRow> for Key {
    fn from(row: &KeyRow) -> Self {
        Self {
            id: row.id,
            name: row.name.clone(),
            role: row.role,
            platform_id: row.platform_id.clone(),
            entity_id: row.entity_id.clone(),
            created_by: row.created_by.clone(),
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        }
    }
}

impl Key {
    /// The state that its ETag names: a use of the key does not change it.
    pub(crate) fn unused(self) -> Self {
        Self { last_used_at: None, ..self }
    }
}

/// A key as lists tell it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyDetail {
    /// The beginning of the key, by which its holder recognizes it.
    prefix: String,
    #[serde(flatten)]
    key: Key,
}

impl From<&KeyRow> for KeyDetail {
    fn from(row: &KeyRow) -> Self {
        Key::from(row).into()
    }
}

impl From<Key> for KeyDetail {
    fn from(key: Key) -> Self {
        Self { prefix: api_key::prefix(key.id), key }
    }
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeKey {
    /// The key itself. It is shown this once and kept nowhere: null in the answer to a repetition, and of a dry run.
    #[schema(required)]
    pub(crate) key: Option<String>,
    #[serde(flatten)]
    pub(crate) detail: KeyDetail,
}
