//! Rows of keys.

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, Selectable};
use domain::{ApiKey, Cursor, EntityId, Grant, GrantScope, Name, PlatformId, Result, Role};
use runtime::clock;
use uuid::Uuid;

use crate::{grants::LocatedGrant, schema::keys};

/// Row of a key, without the digest of its secret.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = keys, treat_none_as_default_value = false)]
pub(crate) struct KeyRow {
    pub(crate) id: Uuid,
    pub(crate) name: Name,
    pub(crate) role: Role,
    pub(crate) platform_id: Option<PlatformId>,
    pub(crate) entity_id: Option<EntityId>,
    pub(crate) entity_line: Vec<EntityId>,
    pub(crate) created_by: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
}

impl KeyRow {
    /// The grant of the key.
    ///
    /// # Errors
    /// Returns an error if the row contains no valid grant.
    pub(crate) fn grant(&self) -> Result<Grant> {
        Grant::new(self.role, GrantScope::new(self.platform_id.clone(), self.entity_id.clone())?)
    }

    /// The position of the key in the list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}

/// Properties of a new key.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    pub(crate) name: Name,
    pub(crate) grant: Grant,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl NewKey {
    /// The row of the new key.
    pub(crate) fn into_row(self, key: &ApiKey, located: LocatedGrant, created_by: &str) -> KeyRow {
        KeyRow {
            id: key.id(),
            name: self.name,
            role: located.grant.role,
            platform_id: located.grant.scope.platform().cloned(),
            entity_id: located.grant.scope.entity().cloned(),
            entity_line: located.path,
            created_by: created_by.to_owned(),
            created_at: clock::now(),
            expires_at: self.expires_at,
            last_used_at: None,
            revoked_at: None,
        }
    }
}
