//! Rows of secrets.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{PlatformId, ResourceId, SecretId, SecretName, resource::SecretStatus};
use runtime::clock;

use crate::schema::secrets;

/// Row of a secret.
#[derive(Debug, Clone, Queryable, Selectable, Insertable, Identifiable, AsChangeset)]
#[diesel(table_name = secrets, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct SecretRow {
    pub(crate) id: SecretId,
    pub(crate) platform_id: PlatformId,
    pub(crate) resource_id: ResourceId,
    pub(crate) secret_name: SecretName,
    pub(crate) status: SecretStatus,
    pub(crate) last_set_at: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl SecretRow {
    /// Returns the row of a new secret.
    pub(crate) fn new(
        platform: &PlatformId,
        resource: ResourceId,
        name: SecretName,
        status: SecretStatus,
    ) -> Self {
        let now = clock::now();
        Self {
            id: SecretId::generate(),
            platform_id: platform.clone(),
            resource_id: resource,
            secret_name: name,
            status,
            last_set_at: is_set(status).then_some(now),
            created_at: now,
            updated_at: now,
        }
    }

    /// Returns the secret with a new status.
    pub(crate) fn marked(&self, status: SecretStatus) -> Self {
        let now = clock::now();
        let last_set_at = if is_set(status) { Some(now) } else { self.last_set_at };
        Self { status, last_set_at, updated_at: now, ..self.clone() }
    }
}

const fn is_set(status: SecretStatus) -> bool {
    matches!(status, SecretStatus::Set | SecretStatus::Rotated)
}
