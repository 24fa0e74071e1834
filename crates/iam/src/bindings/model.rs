//! Rows of bindings.

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, Selectable};
use domain::{Cursor, EntityId, Grant, GrantScope, Name, PlatformId, Result, Role};
use runtime::clock;
use uuid::Uuid;

use crate::{grants::LocatedGrant, schema::bindings};

/// Row of a binding.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = bindings, treat_none_as_default_value = false)]
pub(crate) struct BindingRow {
    pub(crate) id: Uuid,
    pub(crate) subject: Name,
    pub(crate) role: Role,
    pub(crate) platform_id: Option<PlatformId>,
    pub(crate) entity_id: Option<EntityId>,
    pub(crate) entity_line: Vec<EntityId>,
    pub(crate) created_by: String,
    pub(crate) created_at: DateTime<Utc>,
}

impl BindingRow {
    /// The row of a new binding.
    pub(crate) fn new(subject: Name, located: LocatedGrant, created_by: &str) -> Self {
        Self {
            id: domain::id::uuid_v7(),
            subject,
            role: located.grant.role,
            platform_id: located.grant.scope.platform().cloned(),
            entity_id: located.grant.scope.entity().cloned(),
            entity_line: located.path,
            created_by: created_by.to_owned(),
            created_at: clock::now(),
        }
    }

    /// The grant of the binding.
    ///
    /// # Errors
    /// Returns an error if the row contains no valid grant.
    pub(crate) fn grant(&self) -> Result<Grant> {
        Grant::new(self.role, GrantScope::new(self.platform_id.clone(), self.entity_id.clone())?)
    }

    /// The position of the binding in the list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
