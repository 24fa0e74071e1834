//! API representation of secrets.

use chrono::{DateTime, Utc};
use domain::{ResourceId, SecretId, SecretName, resource::SecretStatus};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::SecretRow;

/// Status of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Secret {
    #[schema(value_type = Uuid)]
    pub(crate) id: SecretId,
    #[schema(value_type = Uuid)]
    pub(crate) resource_id: ResourceId,
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

/// A secret, with `new` if it was marked for the first time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Marked {
    pub(crate) secret: Secret,
    pub(crate) new: bool,
}

impl From<SecretRow> for Secret {
    fn from(row: SecretRow) -> Self {
        Self {
            id: row.id,
            resource_id: row.resource_id,
            secret_name: row.secret_name,
            status: row.status,
            last_set_at: row.last_set_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<&SecretRow> for Secret {
    fn from(row: &SecretRow) -> Self {
        Self::from(row.clone())
    }
}
