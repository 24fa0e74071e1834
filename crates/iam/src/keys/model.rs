//! The rows of keys, and what is answered of them.

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, Selectable};
use domain::{ApiKey, Cursor, EntityId, Grant, Name, PlatformId, Reach, Result, Role, api_key};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{grants::Placed, schema::keys};

/// A key, without its secret's digest: so that no audit entry, answer or log line can hold it.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Queryable, Selectable, Insertable,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = keys, treat_none_as_default_value = false)]
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
    /// Not part of the API.
    #[serde(skip)]
    pub(crate) entity_line: Vec<EntityId>,
    /// Who made it.
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

impl Key {
    /// What it grants.
    ///
    /// # Errors
    /// When the row holds what can be no grant.
    pub(crate) fn grant(&self) -> Result<Grant> {
        Grant::new(self.role, Reach::of(self.platform_id.clone(), self.entity_id.clone())?)
    }

    /// Where it stands in the list.
    pub(crate) fn place(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }

    /// The state that its ETag names: that it is used changes nothing of it.
    pub(crate) fn unused(&self) -> Self {
        Self { last_used_at: None, ..self.clone() }
    }
}

/// A new key.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    pub(crate) name: Name,
    pub(crate) grant: Grant,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl NewKey {
    /// The row.
    pub(crate) fn into_row(self, key: &ApiKey, placed: Placed, created_by: &str) -> Key {
        Key {
            id: key.id(),
            name: self.name,
            role: placed.grant.role,
            platform_id: placed.grant.reach.platform().cloned(),
            entity_id: placed.grant.reach.entity().cloned(),
            entity_line: placed.line,
            created_by: created_by.to_owned(),
            created_at: clock::now(),
            expires_at: self.expires_at,
            last_used_at: None,
            revoked_at: None,
        }
    }
}

/// A key as lists tell it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyDetail {
    /// What the key begins with, by which its holder knows it.
    prefix: String,
    #[serde(flatten)]
    key: Key,
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
