//! API representation of keys.

use chrono::{DateTime, Utc};
use domain::{EntityId, Name, PlatformId, Role, api_key};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::KeyRow;

/// Key without the digest of its secret, so that no audit entry, response or log line can contain the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Key {
    pub(crate) id: Uuid,
    pub(crate) name: Name,
    pub(crate) role: Role,
    /// Platform of the scope. Null if the scope is all platforms.
    #[schema(value_type = Option<String>, required)]
    pub(crate) platform_id: Option<PlatformId>,
    /// Entity of the scope, with its descendants. Null if the scope is not limited to an entity.
    #[schema(value_type = Option<String>, required)]
    pub(crate) entity_id: Option<EntityId>,
    /// Caller who created the key.
    pub(crate) created_by: String,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    /// Null if the key does not expire.
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// Time of the last use, to the minute. Null if the key was never used.
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) revoked_at: Option<DateTime<Utc>>,
}

impl From<KeyRow> for Key {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            role: row.role,
            platform_id: row.platform_id,
            entity_id: row.entity_id,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        }
    }
}

impl From<&KeyRow> for Key {
    fn from(row: &KeyRow) -> Self {
        Self::from(row.clone())
    }
}

impl Key {
    /// The state for the ETag, which a use of the key does not change.
    pub(crate) fn without_usage(self) -> Self {
        Self { last_used_at: None, ..self }
    }
}

/// Key in lists.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyDetail {
    /// Start of the key, by which its holder recognizes it.
    prefix: String,
    #[serde(flatten)]
    key: Key,
}

impl From<KeyRow> for KeyDetail {
    fn from(row: KeyRow) -> Self {
        Key::from(row).into()
    }
}

impl From<&KeyRow> for KeyDetail {
    fn from(row: &KeyRow) -> Self {
        Self::from(row.clone())
    }
}

impl From<Key> for KeyDetail {
    fn from(key: Key) -> Self {
        Self { prefix: api_key::prefix(key.id), key }
    }
}

/// Created key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedKey {
    /// The key itself, which is returned only once. Null in the response to a repetition and to a dry run.
    #[schema(required)]
    pub(crate) key: Option<String>,
    #[serde(flatten)]
    pub(crate) detail: KeyDetail,
}
