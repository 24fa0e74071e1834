//! The rows of secrets, which are also what is answered.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{PlatformId, SecretName, resource::SecretStatus};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::schema::secrets;

/// What is known of a secret.
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
#[diesel(table_name = secrets, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct Secret {
    pub(crate) id: Uuid,
    /// Not part of the API.
    #[serde(skip, default = "PlatformId::random")]
    pub(crate) platform_id: PlatformId,
    pub(crate) resource_id: Uuid,
    pub(crate) secret_name: SecretName,
    pub(crate) status: SecretStatus,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) last_set_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
}

/// A secret that was marked, and whether nothing was known of it before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Marked {
    pub(crate) secret: Secret,
    pub(crate) new: bool,
}

impl Secret {
    /// A secret of which nothing was known.
    pub(crate) fn new(platform: &PlatformId, resource: Uuid, name: SecretName, status: SecretStatus) -> Self {
        let now = clock::now();
        Self {
            id: domain::id::uuid_v7(),
            platform_id: platform.clone(),
            resource_id: resource,
            secret_name: name,
            status,
            last_set_at: is_set(status).then_some(now),
            created_at: now,
            updated_at: now,
        }
    }

    /// The secret with another status.
    pub(crate) fn marked(&self, status: SecretStatus) -> Self {
        let now = clock::now();
        let last_set_at = if is_set(status) { Some(now) } else { self.last_set_at };
        Self { status, last_set_at, updated_at: now, ..self.clone() }
    }
}

const fn is_set(status: SecretStatus) -> bool {
    matches!(status, SecretStatus::Set | SecretStatus::Rotated)
}
