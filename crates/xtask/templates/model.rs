//! Rows of ${words}, which the API returns as they are.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{Cursor, Name, Patch, PlatformId, uuid_id};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema::${plural};

uuid_id!(
    /// Id of a ${word}.
    pub(crate) ${Singular}Id
);

/// ${Word} of a platform.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    Queryable,
    Selectable,
    Insertable,
    Identifiable,
    AsChangeset,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = ${plural}, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct ${Singular} {
    pub(crate) id: ${Singular}Id,
    pub(crate) platform_id: PlatformId,
    pub(crate) title: Name,
    #[schema(required)]
    pub(crate) body: Option<Name>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
}

/// Fields of a new ${word}.
#[derive(Debug, Clone)]
pub(crate) struct New${Singular} {
    pub(crate) title: Name,
    pub(crate) body: Option<Name>,
}

/// Changes to a ${word}.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) title: Option<Name>,
    pub(crate) body: Patch<Name>,
}

impl New${Singular} {
    /// Returns the row, with a new id.
    pub(crate) fn into_row(self, platform: &PlatformId) -> ${Singular} {
        let now = clock::now();
        ${Singular} {
            id: ${Singular}Id::generate(),
            platform_id: platform.clone(),
            title: self.title,
            body: self.body,
            created_at: now,
            updated_at: now,
        }
    }
}

impl ${Singular} {
    /// Returns the row after a change.
    pub(crate) fn changed(&self, change: Change) -> Self {
        let before = self.clone();
        Self {
            title: change.title.unwrap_or(before.title),
            body: change.body.apply(before.body),
            updated_at: clock::now(),
            ..before
        }
    }

    /// Cursor in the list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
