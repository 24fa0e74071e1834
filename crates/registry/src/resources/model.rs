//! Rows of resources, which the API returns as they are.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{
    Cursor, EntityId, HttpUrl, Name, Patch, PlatformId, ResourceId, StackId,
    ownership::PlatformResourceName,
    resource::{Environment, ResourceStatus, ResourceType},
};
use runtime::clock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::schema::resources;

/// A provisioned resource.
#[derive(
    Debug,
    Clone,
    PartialEq,
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
#[diesel(table_name = resources, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct Resource {
    #[schema(value_type = Uuid)]
    pub(crate) id: ResourceId,
    pub(crate) platform_id: PlatformId,
    /// An entity, or the platform's own id for a resource of the platform itself.
    pub(crate) entity_id: EntityId,
    pub(crate) stack_id: StackId,
    pub(crate) resource_type: ResourceType,
    pub(crate) service_name: Name,
    pub(crate) environment: Environment,
    /// Rows of earlier versions may contain names that are rejected now.
    pub(crate) cf_name: Name,
    #[schema(required)]
    pub(crate) cf_id: Option<String>,
    #[schema(value_type = Option<String>, format = "uri", required)]
    pub(crate) cf_url: Option<HttpUrl>,
    pub(crate) status: ResourceStatus,
    #[schema(required)]
    pub(crate) provision_job_id: Option<String>,
    #[schema(required)]
    pub(crate) config: Option<Value>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) deleted_at: Option<DateTime<Utc>>,
}

/// Fields of a new resource.
#[derive(Debug, Clone)]
pub(crate) struct NewResource {
    pub(crate) entity_id: EntityId,
    pub(crate) stack_id: StackId,
    pub(crate) resource_type: ResourceType,
    pub(crate) service_name: Name,
    pub(crate) environment: Environment,
    pub(crate) cf_name: PlatformResourceName,
    pub(crate) cf_id: Option<String>,
    pub(crate) cf_url: Option<HttpUrl>,
    pub(crate) status: ResourceStatus,
    pub(crate) provision_job_id: Option<String>,
    pub(crate) config: Option<Map<String, Value>>,
}

/// Changes to a resource.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) status: Option<ResourceStatus>,
    pub(crate) cf_id: Patch<String>,
    pub(crate) cf_url: Patch<HttpUrl>,
    pub(crate) config: Patch<Value>,
    pub(crate) provision_job_id: Patch<String>,
}

impl NewResource {
    /// Returns the row, with a new id.
    pub(crate) fn into_row(self, platform: &PlatformId) -> Resource {
        let now = clock::now();
        Resource {
            id: ResourceId::generate(),
            platform_id: platform.clone(),
            entity_id: self.entity_id,
            stack_id: self.stack_id,
            resource_type: self.resource_type,
            service_name: self.service_name,
            environment: self.environment,
            cf_name: self.cf_name.into_inner().into(),
            cf_id: self.cf_id,
            cf_url: self.cf_url,
            status: self.status,
            provision_job_id: self.provision_job_id,
            config: self.config.map(Value::Object),
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }
}

impl Resource {
    /// Returns the resource with the values of `new`. Absent optional values stay.
    pub(crate) fn updated_from(&self, new: NewResource) -> Self {
        let new = new.into_row(&self.platform_id);
        Self {
            id: self.id,
            cf_id: new.cf_id.or_else(|| self.cf_id.clone()),
            cf_url: new.cf_url.or_else(|| self.cf_url.clone()),
            provision_job_id: new.provision_job_id.or_else(|| self.provision_job_id.clone()),
            config: new.config.or_else(|| self.config.clone()),
            created_at: self.created_at,
            ..new
        }
    }

    /// Returns the resource after a change.
    pub(crate) fn changed(&self, change: Change) -> Self {
        let now = clock::now();
        let status = change.status.unwrap_or(self.status);
        let before = self.clone();
        Self {
            status,
            cf_id: change.cf_id.apply(before.cf_id),
            cf_url: change.cf_url.apply(before.cf_url),
            config: change.config.apply(before.config),
            provision_job_id: change.provision_job_id.apply(before.provision_job_id),
            updated_at: now,
            deleted_at: (status == ResourceStatus::Deleted).then_some(now),
            ..before
        }
    }

    /// Cursor in the list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
