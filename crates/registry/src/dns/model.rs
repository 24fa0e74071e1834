//! Rows of DNS records, which the API returns as they are.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{
    Cursor, DnsRecordId, HostName, Name, PlatformId, ResourceId, StackId,
    ownership::RecordHost,
    resource::{DnsStatus, Environment},
};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema::dns_records;

/// A host name that points to a resource.
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
#[diesel(table_name = dns_records, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct DnsRecord {
    #[schema(value_type = Uuid)]
    pub(crate) id: DnsRecordId,
    pub(crate) platform_id: PlatformId,
    pub(crate) stack_id: StackId,
    pub(crate) hostname: HostName,
    pub(crate) target_type: Name,
    #[schema(value_type = Uuid)]
    pub(crate) resource_id: ResourceId,
    pub(crate) environment: Environment,
    #[schema(required)]
    pub(crate) cf_route_id: Option<String>,
    pub(crate) status: DnsStatus,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
}

/// Fields of a new record.
#[derive(Debug, Clone)]
pub(crate) struct NewDnsRecord {
    pub(crate) stack_id: StackId,
    pub(crate) hostname: RecordHost,
    pub(crate) target_type: Name,
    pub(crate) resource_id: ResourceId,
    pub(crate) environment: Environment,
    pub(crate) cf_route_id: Option<String>,
    pub(crate) status: DnsStatus,
}

impl NewDnsRecord {
    /// Returns the row, with a new id.
    pub(crate) fn into_row(self, platform: &PlatformId) -> DnsRecord {
        let now = clock::now();
        DnsRecord {
            id: DnsRecordId::generate(),
            platform_id: platform.clone(),
            stack_id: self.stack_id,
            hostname: self.hostname.into_inner(),
            target_type: self.target_type,
            resource_id: self.resource_id,
            environment: self.environment,
            cf_route_id: self.cf_route_id,
            status: self.status,
            created_at: now,
            updated_at: now,
        }
    }
}

impl DnsRecord {
    /// Returns the record with the values of `new`. Absent optional values stay.
    pub(crate) fn updated_from(&self, new: NewDnsRecord) -> Self {
        let new = new.into_row(&self.platform_id);
        Self {
            id: self.id,
            cf_route_id: new.cf_route_id.or_else(|| self.cf_route_id.clone()),
            created_at: self.created_at,
            ..new
        }
    }

    /// Cursor in the list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
