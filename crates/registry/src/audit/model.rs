//! Rows of the audit log, which the API returns as they are.

use chrono::{DateTime, Utc};
use database::tables::audit_log;
use diesel::{Queryable, Selectable};
use domain::{AuditEntryId, Cursor, PlatformId};
use runtime::clock;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A change and its actor.
#[derive(Debug, Serialize, ToSchema, Queryable, Selectable)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = audit_log)]
pub(crate) struct AuditEntry {
    #[schema(value_type = Uuid)]
    pub(crate) id: AuditEntryId,
    // Every object of the registry belongs to a platform.
    #[schema(value_type = String, required)]
    pub(crate) platform_id: Option<PlatformId>,
    pub(crate) actor_id: String,
    /// `user`, `apikey`, `operator`, `service` or `system`.
    pub(crate) actor_type: String,
    /// `<object>.<verb>`, such as `platform.suspended`.
    pub(crate) action: String,
    pub(crate) entity_type: String,
    pub(crate) entity_id: String,
    /// State before the change; null for a new object.
    #[schema(required)]
    pub(crate) before: Option<Value>,
    /// State after the change; null for a deleted object.
    #[schema(required)]
    pub(crate) after: Option<Value>,
    /// `requestId` and `traceId`.
    pub(crate) metadata: Value,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
}

impl AuditEntry {
    /// Cursor in the list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
