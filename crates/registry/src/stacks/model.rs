//! Rows of stacks.
//!
//! The lifecycle is [`domain::deployment`]: [`StackRow::apply`] converts a row to a [`Stack`], applies an event, and
//! converts the result back.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, QueryableByName, Selectable, sql_types};
use domain::{
    Cursor, EntityId, Error, JobId, Kind, Name, PlatformId, Result, StackId, Version,
    deployment::{Inputs, NewStack, Release, Stack, StackEvent, StackStatus, StackTemplate},
    resource::ResourceType,
};
use runtime::clock;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::template::ResolvedTemplate;
use crate::{
    features::model::StackFeature,
    schema::{stacks, template_versions},
};

/// Row of a stack.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable, Identifiable, AsChangeset)]
#[diesel(table_name = stacks, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct StackRow {
    pub(crate) id: StackId,
    pub(crate) tenant_id: EntityId,
    pub(crate) platform_id: PlatformId,
    pub(crate) name: Name,
    pub(crate) is_default: bool,
    pub(crate) template_id: Option<String>,
    pub(crate) template_name: Option<String>,
    pub(crate) template_version: Option<Version>,
    pub(crate) repo_name: Option<Name>,
    pub(crate) status: StackStatus,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) is_live: bool,
    pub(crate) inputs: Option<Value>,
    pub(crate) error: Option<String>,
    pub(crate) provision_job_id: Option<JobId>,
    pub(crate) wanted: Option<Value>,
    pub(crate) previous: Option<Value>,
    pub(crate) replaced: Option<Value>,
    pub(crate) shared: Vec<ResourceType>,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
}

/// A stored version of a template.
#[derive(Debug, Clone, Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(table_name = template_versions)]
pub(crate) struct TemplateVersion {
    pub(crate) template_name: String,
    pub(crate) version: Version,
    pub(crate) template_id: String,
    pub(crate) definition: String,
}

/// Request for a new stack.
#[derive(Debug, Clone)]
pub(crate) struct StackRequest {
    pub(crate) tenant_id: EntityId,
    pub(crate) name: Name,
    pub(crate) is_default: bool,
    /// Id or name of the template; `None` creates a custom stack.
    pub(crate) template: Option<Name>,
    pub(crate) inputs: Option<Inputs>,
    pub(crate) repo_name: Option<Name>,
}

impl StackRequest {
    /// Returns the new row, with a random id.
    ///
    /// # Errors
    /// If the target of the stack cannot be written as JSON.
    pub(super) fn into_row(
        self,
        platform: &PlatformId,
        template: Option<&ResolvedTemplate>,
    ) -> Result<StackRow> {
        let inputs = self.inputs.unwrap_or_default();
        let template = template.map(|one| StackTemplate {
            id: one.template_id.clone(),
            name: one.template_name.clone(),
            version: one.version.clone(),
            inputs: Some(inputs),
        });
        let new = NewStack {
            id: StackId::random(),
            platform: platform.clone(),
            tenant: self.tenant_id,
            name: self.name,
            is_default: self.is_default,
            repo_name: self.repo_name,
            template: template.map(|template| (template, JobId::generate())),
        };
        Stack::new(new, clock::now()).try_into()
    }
}

impl StackRow {
    /// Cursor in the list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }

    /// The template and the running version. If no version ever ran, the requested one. `None` for a custom stack.
    pub(super) fn template_key(&self) -> Option<(&str, &str)> {
        self.template_name.as_deref().zip(self.template_version.as_ref().map(Version::as_str))
    }

    /// The name of the template.
    ///
    /// # Errors
    /// [`Kind::Unprocessable`] for a custom stack.
    pub(super) fn template(&self) -> Result<&str> {
        let message = "A custom stack has no template and therefore no versions.";
        self.template_name.as_deref().ok_or_else(|| Error::new(Kind::Unprocessable, message))
    }

    /// Rows of the features that a release defines for the stack.
    pub(super) fn features(&self, release: &Release) -> Vec<StackFeature> {
        let features = release.features.iter().map(|one| &one.feature);
        let row = features.map(|feature| StackFeature {
            stack_id: self.id.clone(),
            feature_id: feature.feature.clone(),
            platform_id: self.platform_id.clone(),
            package: feature.package.clone(),
            has_service: feature.has_service,
        });
        row.collect()
    }

    /// Returns the stack after an event.
    ///
    /// # Errors
    /// [`Kind::InvalidTransition`], or [`Kind::Internal`] if a JSON column cannot be read or written.
    pub(super) fn apply(&self, event: &StackEvent) -> Result<Self> {
        Stack::try_from(self.clone())?.apply(event, clock::now())?.try_into()
    }
}

impl TryFrom<StackRow> for Stack {
    type Error = Error;

    fn try_from(row: StackRow) -> Result<Self> {
        let template = row.template_id.zip(row.template_name).zip(row.template_version);
        let inputs = from_json(row.inputs)?;
        Ok(Self {
            id: row.id,
            platform: row.platform_id,
            tenant: row.tenant_id,
            name: row.name,
            is_default: row.is_default,
            repo_name: row.repo_name,
            template: template.map(|((id, name), version)| StackTemplate { id, name, version, inputs }),
            status: row.status,
            is_running: row.is_live,
            error: row.error,
            job: row.provision_job_id,
            target: from_json(row.wanted)?,
            previous: from_json(row.previous)?,
            replaced: from_json(row.replaced)?,
            shared: row.shared,
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
        })
    }
}

impl TryFrom<Stack> for StackRow {
    type Error = Error;

    fn try_from(stack: Stack) -> Result<Self> {
        let (template_id, template_name, template_version, inputs) = match stack.template {
            Some(one) => (Some(one.id), Some(one.name), Some(one.version), one.inputs),
            None => (None, None, None, None),
        };
        Ok(Self {
            id: stack.id,
            tenant_id: stack.tenant,
            platform_id: stack.platform,
            name: stack.name,
            is_default: stack.is_default,
            template_id,
            template_name,
            template_version,
            repo_name: stack.repo_name,
            status: stack.status,
            created_at: stack.created_at,
            updated_at: stack.updated_at,
            is_live: stack.is_running,
            inputs: inputs.map(Value::Object),
            error: stack.error,
            provision_job_id: stack.job,
            wanted: to_json(stack.target)?,
            previous: to_json(stack.previous)?,
            replaced: to_json(stack.replaced)?,
            shared: stack.shared,
            deleted_at: stack.deleted_at,
        })
    }
}

fn from_json<T: DeserializeOwned>(column: Option<Value>) -> Result<Option<T>> {
    column.map(|value| serde_json::from_value(value).map_err(Error::internal)).transpose()
}

fn to_json(column: Option<impl Serialize>) -> Result<Option<Value>> {
    column.map(|value| serde_json::to_value(value).map_err(Error::internal)).transpose()
}

/// Use of a version of a template; without a version, of all versions together.
#[derive(Debug, QueryableByName)]
pub(crate) struct Usage {
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    pub(crate) template_version: Option<String>,
    #[diesel(sql_type = sql_types::BigInt)]
    pub(crate) stacks: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    pub(crate) platforms: i64,
}
