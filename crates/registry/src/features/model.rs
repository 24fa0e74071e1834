//! Rows of feature activations.
//!
//! The lifecycle is [`domain::deployment`]: [`ActivationRow::apply`] converts a row to an [`Activation`], applies an
//! event, and converts the result back.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{
    ActivationId, Cursor, EntityId, JobId, PlatformId, Result, Slug, StackId, Version,
    deployment::{
        Activation, ActivationEvent, ActivationKey, FeatureSource, FeatureStatus, FeatureTransition,
        RunningFeature,
    },
    resource::Environment,
};
use runtime::clock;

use crate::schema::{feature_activations, manifests, stack_features};

/// Row of a feature activation.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable, Identifiable, AsChangeset)]
#[diesel(table_name = feature_activations, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct ActivationRow {
    pub(crate) id: ActivationId,
    pub(crate) platform_id: PlatformId,
    pub(crate) entity_id: EntityId,
    pub(crate) feature_id: Slug,
    pub(crate) feature_version: Version,
    pub(crate) environment: Environment,
    pub(crate) status: FeatureStatus,
    pub(crate) error: Option<String>,
    pub(crate) activated_at: Option<DateTime<Utc>>,
    pub(crate) deactivated_at: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) provision_job_id: JobId,
    pub(crate) requested_at: DateTime<Utc>,
    pub(crate) stack_id: StackId,
    pub(crate) package: String,
    pub(crate) has_service: bool,
    /// Running version, which the manifest shows, also during an upgrade.
    pub(crate) live_version: Option<Version>,
    pub(crate) live_package: Option<String>,
    /// Last address of the service.
    pub(crate) service_url: Option<String>,
    pub(crate) has_data: bool,
    pub(crate) took_ms: Option<i32>,
}

/// A feature as the definition of a stack names it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = stack_features)]
pub(crate) struct StackFeature {
    pub(crate) stack_id: StackId,
    pub(crate) feature_id: Slug,
    pub(crate) platform_id: PlatformId,
    pub(crate) package: String,
    pub(crate) has_service: bool,
}

/// Tag of an entity's manifest.
#[derive(Debug, Clone, Insertable, AsChangeset)]
#[diesel(table_name = manifests)]
pub(crate) struct ManifestTag {
    entity_id: EntityId,
    environment: Environment,
    platform_id: PlatformId,
    etag: String,
    changed_at: DateTime<Utc>,
}

impl ManifestTag {
    /// Primary key.
    pub(crate) fn key(&self) -> (&str, &str) {
        (self.entity_id.as_str(), self.environment.as_str())
    }

    /// Returns a new tag for the manifest that contains an activation.
    pub(crate) fn for_activation(activation: &ActivationRow) -> Self {
        Self::new(&activation.platform_id, &activation.entity_id, activation.environment)
    }

    /// Returns a new tag for the manifest of an entity.
    pub(crate) fn new(platform: &PlatformId, entity: &EntityId, environment: Environment) -> Self {
        Self {
            entity_id: entity.clone(),
            environment,
            platform_id: platform.clone(),
            etag: format!("\"{}\"", domain::id::uuid_v7().simple()),
            changed_at: clock::now(),
        }
    }
}

impl ActivationRow {
    /// Returns the activation after an event.
    ///
    /// # Errors
    /// [`domain::Kind::InvalidTransition`].
    pub(crate) fn apply(&self, event: &ActivationEvent) -> Result<Self> {
        Ok(Activation::from(self.clone()).apply(event, clock::now())?.into())
    }

    /// Returns the transition that an event makes; `None` if it does not change the status.
    pub(crate) fn transition(&self, event: &ActivationEvent) -> Option<FeatureTransition> {
        Activation::from(self.clone()).transition(event)
    }

    /// Cursor in the list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}

impl From<ActivationRow> for Activation {
    fn from(row: ActivationRow) -> Self {
        let running = row.live_version.zip(row.live_package);
        Self {
            id: row.id,
            key: ActivationKey {
                platform: row.platform_id,
                entity: row.entity_id,
                feature: row.feature_id,
                environment: row.environment,
            },
            version: row.feature_version,
            package: row.package,
            status: row.status,
            error: row.error,
            created_at: row.created_at,
            updated_at: row.updated_at,
            requested_at: row.requested_at,
            activated_at: row.activated_at,
            deactivated_at: row.deactivated_at,
            job: row.provision_job_id,
            stack: row.stack_id,
            has_service: row.has_service,
            running: running.map(|(version, package)| RunningFeature { version, package }),
            service_url: row.service_url,
            has_data: row.has_data,
            took_ms: row.took_ms,
        }
    }
}

impl From<Activation> for ActivationRow {
    fn from(activation: Activation) -> Self {
        let running = activation.running.map(|running| (running.version, running.package));
        let (live_version, live_package) = running.unzip();
        Self {
            id: activation.id,
            platform_id: activation.key.platform,
            entity_id: activation.key.entity,
            feature_id: activation.key.feature,
            feature_version: activation.version,
            environment: activation.key.environment,
            status: activation.status,
            error: activation.error,
            activated_at: activation.activated_at,
            deactivated_at: activation.deactivated_at,
            created_at: activation.created_at,
            updated_at: activation.updated_at,
            provision_job_id: activation.job,
            requested_at: activation.requested_at,
            stack_id: activation.stack,
            package: activation.package,
            has_service: activation.has_service,
            live_version,
            live_package,
            service_url: activation.service_url,
            has_data: activation.has_data,
            took_ms: activation.took_ms,
        }
    }
}

impl From<StackFeature> for FeatureSource {
    fn from(row: StackFeature) -> Self {
        Self { stack: row.stack_id, package: row.package, has_service: row.has_service }
    }
}
