//! Rows of versions, which are also their API representation.

use chrono::{DateTime, Utc, serde::ts_milliseconds};
use diesel::{Identifiable, Insertable, Queryable, Selectable};
use domain::{Result, Version, template::TemplateStatus};
use runtime::clock;
use serde::{Deserialize, Serialize};
use stack_definition::{Dependency, StackDefinition};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::schema::stack_versions;

/// Version of a stack template. Times are Unix milliseconds.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Queryable, Selectable, Identifiable,
)]
#[diesel(table_name = stack_versions)]
pub(crate) struct StackVersion {
    pub(crate) id: Uuid,
    pub(crate) template_id: Uuid,
    pub(crate) version: Version,
    /// Definition as canonical JSON text.
    pub(crate) stack_definition: String,
    pub(crate) nno_sdk_version: Version,
    pub(crate) status: TemplateStatus,
    #[serde(with = "ts_milliseconds")]
    #[schema(value_type = Option<i64>, required)]
    pub(crate) published_at: DateTime<Utc>,
    #[serde(with = "ts_milliseconds")]
    #[schema(value_type = i64)]
    pub(crate) created_at: DateTime<Utc>,
}

/// Version to publish.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PublishVersion {
    version: Version,
    stack_definition: StackDefinition,
    nno_sdk_version: Version,
}

/// Complete row of a version, with the columns that the API does not return.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = stack_versions, treat_none_as_default_value = false)]
pub(crate) struct NewVersion {
    pub(crate) id: Uuid,
    template_id: Uuid,
    pub(crate) version: Version,
    sort_key: String,
    stable: bool,
    stack_definition: String,
    pub(crate) depends_on: Vec<String>,
    nno_sdk_version: Version,
    status: TemplateStatus,
    published_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
}

impl PublishVersion {
    /// The row of the new version.
    ///
    /// # Errors
    /// [`domain::Kind::Internal`] if the definition cannot be written as JSON.
    pub(crate) fn into_row(self, template_id: Uuid) -> Result<NewVersion> {
        let now = clock::now();
        let depends_on = self.depends_on().iter().map(|one| one.template().to_string()).collect();
        Ok(NewVersion {
            id: domain::id::uuid_v7(),
            template_id,
            sort_key: self.version.sort_key().to_owned(),
            stable: self.version.is_stable(),
            version: self.version,
            stack_definition: self.stack_definition.canonical()?,
            depends_on,
            nno_sdk_version: self.nno_sdk_version,
            status: TemplateStatus::Active,
            published_at: now,
            created_at: now,
        })
    }

    /// The dependencies of the definition.
    pub(crate) fn depends_on(&self) -> &[Dependency] {
        self.stack_definition.depends_on()
    }
}

impl From<NewVersion> for StackVersion {
    fn from(row: NewVersion) -> Self {
        Self {
            id: row.id,
            template_id: row.template_id,
            version: row.version,
            stack_definition: row.stack_definition,
            nno_sdk_version: row.nno_sdk_version,
            status: row.status,
            published_at: row.published_at,
            created_at: row.created_at,
        }
    }
}
