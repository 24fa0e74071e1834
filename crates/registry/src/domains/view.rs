//! API representation of custom domains.

use chrono::{DateTime, Utc};
use domain::{DnsRecordId, DomainId, HostName, Name, PlatformId, resource::DomainStatus};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::CustomDomainRow;

/// A host name of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CustomDomain {
    #[schema(value_type = Uuid)]
    pub(crate) id: DomainId,
    pub(crate) platform_id: PlatformId,
    #[schema(value_type = Uuid)]
    pub(crate) dns_record_id: DnsRecordId,
    pub(crate) hostname: HostName,
    /// Host name to point to.
    pub(crate) target_dns: HostName,
    #[schema(required)]
    pub(crate) cf_hostname_id: Option<String>,
    /// Status of the certificate, as named by the provider; `pending` until reported.
    pub(crate) ssl_status: Name,
    pub(crate) status: DomainStatus,
    /// Time of the first successful check.
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) verified_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
}

impl From<CustomDomainRow> for CustomDomain {
    fn from(row: CustomDomainRow) -> Self {
        Self {
            id: row.id,
            platform_id: row.platform_id,
            dns_record_id: row.dns_record_id,
            hostname: row.hostname,
            target_dns: row.target_dns,
            cf_hostname_id: row.cf_hostname_id,
            ssl_status: row.ssl_status,
            status: row.status,
            verified_at: row.verified_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<&CustomDomainRow> for CustomDomain {
    fn from(row: &CustomDomainRow) -> Self {
        Self::from(row.clone())
    }
}
