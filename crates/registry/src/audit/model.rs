//! The rows of the audit log, which are also what is answered.

use chrono::{DateTime, Utc};
use database::tables::audit_log;
use diesel::{Queryable, Selectable};
use domain::{AuditEntryId, Cursor, PlatformId};
use runtime::clock;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// One change, and who made it.
#[derive(Debug, Serialize, ToSchema, Queryable, Selectable)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = audit_log)]
pub(crate) struct AuditEntry {
    #[schema(value_type = Uuid)]
    pub(crate) id: AuditEntryId,
    // Everything that the registry changes belongs to a platform.
    #[schema(value_type = String, required)]
    pub(crate) platform_id: Option<PlatformId>,
    pub(crate) actor_id: String,
    /// user, apikey, operator, service or system.
    pub(crate) actor_type: String,
    /// `<thing>.<verb>`, such as `platform.suspended`.
    pub(crate) action: String,
    pub(crate) entity_type: String,
    pub(crate) entity_id: String,
    /// What the thing was; null for one that was made.
    #[schema(required)]
    pub(crate) before: Option<Value>,
    /// What the thing is since; null for one that is gone.
    #[schema(required)]
    pub(crate) after: Option<Value>,
    /// `requestId` and `traceId`.
    pub(crate) metadata: Value,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
}

impl AuditEntry {
    /// Where it stands in the list.
    pub(crate) fn place(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
