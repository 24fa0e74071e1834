//! Rows of builds.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{
    BuildId, HttpUrl, JobId, Patch, PlatformId,
    build::{BuildStatus, BuildTrigger},
    resource::Environment,
};
use runtime::clock;

use crate::schema::builds;

/// Row of a build.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable, Identifiable, AsChangeset)]
#[diesel(table_name = builds, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct BuildRow {
    pub(crate) id: BuildId,
    pub(crate) platform_id: PlatformId,
    pub(crate) environment: Environment,
    pub(crate) repo_name: Option<String>,
    pub(crate) last_commit_sha: Option<String>,
    pub(crate) cf_deployment_id: Option<String>,
    pub(crate) build_status: BuildStatus,
    pub(crate) build_url: Option<HttpUrl>,
    pub(crate) triggered_by: BuildTrigger,
    pub(crate) triggered_at: Option<DateTime<Utc>>,
    pub(crate) completed_at: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// Fields of a build that starts.
#[derive(Debug, Clone)]
pub(crate) struct NewBuild {
    pub(crate) id: BuildId,
    pub(crate) environment: Environment,
    pub(crate) triggered_by: BuildTrigger,
    pub(crate) repo_name: Option<String>,
    pub(crate) last_commit_sha: Option<String>,
}

/// Changes to a build.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) build_status: Option<BuildStatus>,
    pub(crate) triggered_by: Option<BuildTrigger>,
    pub(crate) last_commit_sha: Patch<String>,
    pub(crate) cf_deployment_id: Patch<String>,
    pub(crate) build_url: Patch<HttpUrl>,
    pub(crate) repo_name: Patch<String>,
    pub(crate) triggered_at: Patch<DateTime<Utc>>,
    pub(crate) completed_at: Patch<DateTime<Utc>>,
}

impl NewBuild {
    /// The build that belongs to a provisioning job.
    pub(crate) fn for_job(job: JobId, environment: Environment) -> Self {
        let triggered_by = BuildTrigger::FeatureActivation;
        Self { id: BuildId::of_job(job), environment, triggered_by, repo_name: None, last_commit_sha: None }
    }

    /// Returns the row of a build that starts now.
    pub(crate) fn into_row(self, platform: &PlatformId) -> BuildRow {
        let now = clock::now();
        BuildRow {
            id: self.id,
            platform_id: platform.clone(),
            environment: self.environment,
            repo_name: self.repo_name,
            last_commit_sha: self.last_commit_sha,
            cf_deployment_id: None,
            build_status: BuildStatus::Building,
            build_url: None,
            triggered_by: self.triggered_by,
            triggered_at: Some(now),
            completed_at: None,
            created_at: now,
            updated_at: now,
        }
    }
}

impl BuildRow {
    /// Returns the build after its end.
    pub(crate) fn finished(&self, status: BuildStatus, deployment: Option<String>) -> Self {
        self.changed(Change {
            build_status: Some(status),
            cf_deployment_id: deployment.map_or(Patch::Keep, Patch::Set),
            // The clock of the replica that started the build may have been ahead.
            completed_at: Patch::Set(clock::now().max(self.triggered_at.unwrap_or_default())),
            ..Change::default()
        })
    }

    /// Returns the build after a change.
    pub(crate) fn changed(&self, change: Change) -> Self {
        let before = self.clone();
        Self {
            build_status: change.build_status.unwrap_or(before.build_status),
            triggered_by: change.triggered_by.unwrap_or(before.triggered_by),
            last_commit_sha: change.last_commit_sha.apply(before.last_commit_sha),
            cf_deployment_id: change.cf_deployment_id.apply(before.cf_deployment_id),
            build_url: change.build_url.apply(before.build_url),
            repo_name: change.repo_name.apply(before.repo_name),
            triggered_at: change.triggered_at.apply(before.triggered_at),
            completed_at: change.completed_at.apply(before.completed_at),
            updated_at: clock::now(),
            ..before
        }
    }
}
