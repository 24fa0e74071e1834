//! API representation of builds.

use chrono::{DateTime, Utc};
use domain::{
    BuildId, HttpUrl, PlatformId,
    build::{BuildStatus, BuildTrigger},
    resource::Environment,
};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::BuildRow;

/// A build and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Build {
    #[schema(value_type = Uuid)]
    pub(crate) id: BuildId,
    pub(crate) platform_id: PlatformId,
    pub(crate) environment: Environment,
    #[schema(required)]
    pub(crate) repo_name: Option<String>,
    #[schema(required)]
    pub(crate) last_commit_sha: Option<String>,
    #[schema(required)]
    pub(crate) cf_deployment_id: Option<String>,
    pub(crate) build_status: BuildStatus,
    #[schema(value_type = Option<String>, format = "uri", required)]
    pub(crate) build_url: Option<HttpUrl>,
    pub(crate) triggered_by: BuildTrigger,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) triggered_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) completed_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
}

impl From<BuildRow> for Build {
    fn from(row: BuildRow) -> Self {
        Self {
            id: row.id,
            platform_id: row.platform_id,
            environment: row.environment,
            repo_name: row.repo_name,
            last_commit_sha: row.last_commit_sha,
            cf_deployment_id: row.cf_deployment_id,
            build_status: row.build_status,
            build_url: row.build_url,
            triggered_by: row.triggered_by,
            triggered_at: row.triggered_at,
            completed_at: row.completed_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<&BuildRow> for Build {
    fn from(row: &BuildRow) -> Self {
        Self::from(row.clone())
    }
}
