//! The rows of resources, which are also what is answered.

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

/// A provisioned thing.
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
    /// An entity, or the platform's own id for what belongs to the platform as a whole.
    pub(crate) entity_id: EntityId,
    pub(crate) stack_id: StackId,
    pub(crate) resource_type: ResourceType,
    pub(crate) service_name: Name,
    pub(crate) environment: Environment,
    /// Rows of earlier versions may hold a name that is rejected now.
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

/// What a new resource is made of.
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

/// What of a resource may be changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) status: Option<ResourceStatus>,
    pub(crate) cf_id: Patch<String>,
    pub(crate) cf_url: Patch<HttpUrl>,
    pub(crate) config: Patch<Value>,
    pub(crate) provision_job_id: Patch<String>,
}

impl NewResource {
    /// The row, with a new id.
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
    /// The resource as `said`. What is left unsaid stays.
    pub(crate) fn brought_to(&self, said: NewResource) -> Self {
        let said = said.into_row(&self.platform_id);
        Self {
            id: self.id,
            cf_id: said.cf_id.or_else(|| self.cf_id.clone()),
            cf_url: said.cf_url.or_else(|| self.cf_url.clone()),
            provision_job_id: said.provision_job_id.or_else(|| self.provision_job_id.clone()),
            config: said.config.or_else(|| self.config.clone()),
            created_at: self.created_at,
            ..said
        }
    }

    /// The resource after a change.
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

    /// Where it stands in the list.
    pub(crate) fn place(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
