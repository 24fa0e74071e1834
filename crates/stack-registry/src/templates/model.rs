//! Rows of templates, which are also their API representation.

use chrono::{DateTime, Utc, serde::ts_milliseconds};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{Slug, template::TemplateStatus};
use runtime::clock;
use serde::{Deserialize, Serialize};
use stack_definition::text::{Description, DisplayName, Text};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{schema::stack_templates, versions::model::StackVersion};

/// Stack template, under which versions are published. Times are Unix milliseconds.
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
#[diesel(table_name = stack_templates, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct Template {
    pub(crate) id: Uuid,
    pub(crate) name: Slug,
    pub(crate) display_name: String,
    pub(crate) description: String,
    #[schema(required)]
    pub(crate) icon: Option<String>,
    #[schema(required)]
    pub(crate) domain: Option<String>,
    /// Newest active version: the highest stable one, else the highest pre-release.
    #[schema(required)]
    pub(crate) latest_version: Option<String>,
    pub(crate) status: TemplateStatus,
    #[serde(with = "ts_milliseconds")]
    #[schema(value_type = i64)]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "ts_milliseconds")]
    #[schema(value_type = i64)]
    pub(crate) updated_at: DateTime<Utc>,
}

/// Template with its newest active version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TemplateDetail {
    pub(crate) template: Template,
    #[schema(required)]
    pub(crate) latest_version: Option<StackVersion>,
}

/// New template.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateTemplate {
    pub(crate) name: Slug,
    pub(crate) display_name: DisplayName,
    pub(crate) description: Description,
    #[serde(default, deserialize_with = "stack_definition::text::non_null")]
    #[schema(nullable = false)]
    pub(crate) icon: Option<Text<0, 2048>>,
    /// Business domain of the template, such as `commerce`.
    #[serde(default, deserialize_with = "stack_definition::text::non_null")]
    #[schema(nullable = false)]
    pub(crate) domain: Option<Text<0, 256>>,
}

impl CreateTemplate {
    /// The row of the new template.
    pub(crate) fn into_row(self) -> Template {
        let now = clock::now();
        Template {
            id: domain::id::uuid_v7(),
            name: self.name,
            display_name: self.display_name.into(),
            description: self.description.into(),
            icon: self.icon.map(String::from),
            domain: self.domain.map(String::from),
            latest_version: None,
            status: TemplateStatus::Active,
            created_at: now,
            updated_at: now,
        }
    }
}
