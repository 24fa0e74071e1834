//! The rows of stacks, which are also what is answered.

use chrono::{DateTime, Utc};
use diesel::{Identifiable, Insertable, Queryable, QueryableByName, Selectable, sql_types};
use domain::{Cursor, EntityId, Name, PlatformId, Slug, StackId, stack::StackStatus};
use kit::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{features::model::StackFeature, schema::stacks};

/// A running instance of a stack template, or a custom one.
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
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = stacks, treat_none_as_default_value = false)]
pub(crate) struct Stack {
    pub(crate) id: StackId,
    pub(crate) tenant_id: EntityId,
    pub(crate) platform_id: PlatformId,
    pub(crate) name: Name,
    pub(crate) is_default: bool,
    /// Id of the template, also where the stack was made by the template's name.
    #[schema(required)]
    pub(crate) template_id: Option<String>,
    /// Not part of the API.
    #[serde(skip)]
    pub(crate) template_name: Option<String>,
    /// Not part of the API.
    #[serde(skip)]
    pub(crate) template_version: Option<String>,
    #[schema(required)]
    pub(crate) repo_name: Option<Name>,
    pub(crate) status: StackStatus,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
}

/// What a new stack is made of.
#[derive(Debug, Clone)]
pub(crate) struct NewStack {
    pub(crate) tenant_id: EntityId,
    pub(crate) name: Name,
    pub(crate) is_default: bool,
    /// Id or name of the template; none makes a custom stack.
    pub(crate) template: Option<Name>,
    pub(crate) repo_name: Option<Name>,
}

/// One version of a template, by the names that the stack registry has it under.
#[derive(Debug, Clone)]
pub(crate) struct Pinned {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) features: Vec<NamedFeature>,
}

/// A feature as a stack's definition has it, as far as the registry keeps it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct NamedFeature {
    id: Slug,
    package: String,
    /// Only one that says so has no service.
    service: Option<bool>,
}

impl NamedFeature {
    pub(crate) fn into_row(self, stack: &Stack) -> StackFeature {
        StackFeature {
            stack_id: stack.id.clone(),
            feature_id: self.id,
            platform_id: stack.platform_id.clone(),
            package: self.package,
            has_service: self.service.unwrap_or(true),
        }
    }
}

impl NewStack {
    /// The row, with a new random id. One of a template is yet to be activated.
    pub(crate) fn into_row(self, platform: &PlatformId, pinned: Option<Pinned>) -> Stack {
        let now = clock::now();
        let status = if pinned.is_some() { StackStatus::Pending } else { StackStatus::Active };
        let (template_id, template_name, template_version) = match pinned {
            Some(Pinned { id, name, version, .. }) => (Some(id), Some(name), Some(version)),
            None => (None, None, None),
        };
        Stack {
            id: StackId::random(),
            tenant_id: self.tenant_id,
            platform_id: platform.clone(),
            name: self.name,
            is_default: self.is_default,
            template_id,
            template_name,
            template_version,
            repo_name: self.repo_name,
            status,
            created_at: now,
            updated_at: now,
        }
    }
}

impl Stack {
    /// Where it stands in the list.
    pub(crate) fn place(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}

/// How much a version of a template is in use; without a version, all of them together.
#[derive(Debug, QueryableByName)]
pub(crate) struct Usage {
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    pub(crate) template_version: Option<String>,
    #[diesel(sql_type = sql_types::BigInt)]
    pub(crate) stacks: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    pub(crate) platforms: i64,
}
