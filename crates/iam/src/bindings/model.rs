//! The rows of bindings.

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, Selectable};
use domain::{Cursor, EntityId, Grant, GrantScope, Name, PlatformId, Result, Role};
use runtime::clock;
use uuid::Uuid;

use crate::{grants::Placed, schema::bindings};

/// The row of a binding.
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
    /// A new one.
    pub(crate) fn new(subject: Name, placed: Placed, created_by: &str) -> Self {
        Self {
            id: domain::id::uuid_v7(),
            subject,
            role: placed.grant.role,
            platform_id: placed.grant.scope.platform().cloned(),
            entity_id: placed.grant.scope.entity().cloned(),
            entity_line: placed.line,
            created_by: created_by.to_owned(),
            created_at: clock::now(),
        }
    }

    /// What it grants.
    ///
    /// # Errors
    /// When the row holds what can be no grant.
    pub(crate) fn grant(&self) -> Result<Grant> {
        Grant::new(self.role, GrantScope::new(self.platform_id.clone(), self.entity_id.clone())?)
    }

    /// Where it stands in the list.
    pub(crate) fn place(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
