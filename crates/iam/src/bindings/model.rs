//! The rows of bindings, which are also what is answered.

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, Selectable};
use domain::{Cursor, EntityId, Grant, Name, PlatformId, Reach, Result, Role};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{grants::Placed, schema::bindings};

/// What a person was granted.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Queryable, Selectable, Insertable,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = bindings, treat_none_as_default_value = false)]
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
    /// Not part of the API.
    #[serde(skip)]
    pub(crate) entity_line: Vec<EntityId>,
    /// Who made it.
    pub(crate) created_by: String,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
}

impl Binding {
    /// A new one.
    pub(crate) fn new(subject: Name, placed: Placed, created_by: &str) -> Self {
        Self {
            id: domain::id::uuid_v7(),
            subject,
            role: placed.grant.role,
            platform_id: placed.grant.reach.platform().cloned(),
            entity_id: placed.grant.reach.entity().cloned(),
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
        Grant::new(self.role, Reach::of(self.platform_id.clone(), self.entity_id.clone())?)
    }

    /// Where it stands in the list.
    pub(crate) fn place(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
