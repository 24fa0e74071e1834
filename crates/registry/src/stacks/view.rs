//! API representation of stacks.

use chrono::{DateTime, Utc};
use domain::{EntityId, JobId, Name, PlatformId, StackId, Version, deployment::StackStatus};
use runtime::clock;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::model::StackRow;

/// A running instance of a stack template, or a custom stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Stack)]
pub(crate) struct StackView {
    pub(crate) id: StackId,
    pub(crate) tenant_id: EntityId,
    pub(crate) platform_id: PlatformId,
    pub(crate) name: Name,
    pub(crate) is_default: bool,
    /// Id of the template, even if the request named the template by its name.
    #[schema(required)]
    pub(crate) template_id: Option<String>,
    /// The running version of the template; if none ever ran, the requested version.
    #[schema(value_type = Option<String>, required)]
    pub(crate) template_version: Option<Version>,
    #[schema(required)]
    pub(crate) repo_name: Option<Name>,
    pub(crate) status: StackStatus,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
    /// Inputs for the version; null for a custom stack.
    #[schema(value_type = Option<Object>, required)]
    pub(crate) inputs: Option<Value>,
    /// Reason of the failure; for an active stack, of its last change.
    #[schema(required)]
    pub(crate) error: Option<String>,
    /// The last requested job in provisioning.
    #[schema(value_type = Option<Uuid>, required)]
    pub(crate) provision_job_id: Option<JobId>,
}

impl From<StackRow> for StackView {
    fn from(row: StackRow) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            platform_id: row.platform_id,
            name: row.name,
            is_default: row.is_default,
            template_id: row.template_id,
            template_version: row.template_version,
            repo_name: row.repo_name,
            status: row.status,
            created_at: row.created_at,
            updated_at: row.updated_at,
            inputs: row.inputs,
            error: row.error,
            provision_job_id: row.provision_job_id,
        }
    }
}

impl From<&StackRow> for StackView {
    fn from(row: &StackRow) -> Self {
        Self::from(row.clone())
    }
}
