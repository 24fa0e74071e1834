//! Rows of the audit log, which are also their API representation.

use chrono::{DateTime, Utc};
use database::tables::audit_log;
use diesel::{Queryable, Selectable};
use domain::{Cursor, PlatformId};
use runtime::clock;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Change and its actor.
#[derive(Debug, Serialize, ToSchema, Queryable, Selectable)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = audit_log)]
pub(crate) struct AuditEntry {
    pub(crate) id: Uuid,
    /// Null for a change of access to all platforms.
    #[schema(value_type = Option<String>, required)]
    pub(crate) platform_id: Option<PlatformId>,
    pub(crate) actor_id: String,
    /// `user`, `apikey`, `operator`, `service` or `system`.
    pub(crate) actor_type: String,
    /// `<object>.<verb>`, such as `key.created`.
    pub(crate) action: String,
    pub(crate) entity_type: String,
    pub(crate) entity_id: String,
    /// State before the change; null if the object was created.
    #[schema(required)]
    pub(crate) before: Option<Value>,
    /// State after the change; null if the object was deleted.
    #[schema(required)]
    pub(crate) after: Option<Value>,
    /// `requestId` and `traceId`.
    pub(crate) metadata: Value,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
}

impl AuditEntry {
    /// The position of the entry in the list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
