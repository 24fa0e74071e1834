//! The rows of feature activations, which are also what is answered.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{
    Cursor, EntityId, PlatformId, Result, Slug, StackId, Version,
    feature::{FeatureEvent, FeatureStatus},
    resource::Environment,
};
use runtime::clock;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::schema::{feature_activations, manifests, stack_features};

/// A feature that an entity runs in an environment, or ran.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Serialize,
    ToSchema,
    Queryable,
    Selectable,
    Insertable,
    Identifiable,
    AsChangeset,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = feature_activations, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct Activation {
    pub(crate) id: Uuid,
    pub(crate) platform_id: PlatformId,
    pub(crate) entity_id: EntityId,
    pub(crate) feature_id: Slug,
    /// The version that was asked for last.
    pub(crate) feature_version: Version,
    pub(crate) environment: Environment,
    pub(crate) status: FeatureStatus,
    /// Why it failed; of an active one, why its last upgrade did.
    #[schema(required)]
    pub(crate) error: Option<String>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) activated_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) deactivated_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
    /// Not part of the API, as all that follows.
    #[serde(skip)]
    pub(crate) provision_job_id: Uuid,
    #[serde(skip)]
    pub(crate) requested_at: DateTime<Utc>,
    #[serde(skip)]
    pub(crate) stack_id: StackId,
    #[serde(skip)]
    pub(crate) package: String,
    #[serde(skip)]
    pub(crate) has_service: bool,
    /// What runs, and what the manifest shows: also while an upgrade is on its way.
    #[serde(skip)]
    pub(crate) live_version: Option<Version>,
    #[serde(skip)]
    pub(crate) live_package: Option<String>,
    /// Where its service was reached last.
    #[serde(skip)]
    pub(crate) service_url: Option<String>,
    #[serde(skip)]
    pub(crate) has_data: bool,
    #[serde(skip)]
    pub(crate) took_ms: Option<i32>,
}

/// Which feature, of which entity, in which environment.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) platform: PlatformId,
    pub(crate) entity: EntityId,
    pub(crate) feature: Slug,
    pub(crate) environment: Environment,
}

/// A feature as a stack's definition names it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = stack_features)]
pub(crate) struct StackFeature {
    pub(crate) stack_id: StackId,
    pub(crate) feature_id: Slug,
    pub(crate) platform_id: PlatformId,
    pub(crate) package: String,
    pub(crate) has_service: bool,
}

/// The tag of an entity's manifest.
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
    /// Whose it is, and where.
    pub(crate) fn place(&self) -> (&str, &str) {
        (self.entity_id.as_str(), self.environment.as_str())
    }

    /// A new tag for the manifest that an activation is part of.
    pub(crate) fn of(activation: &Activation) -> Self {
        Self::new(&activation.platform_id, &activation.entity_id, activation.environment)
    }

    /// A new tag for the manifest of an entity.
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

impl Activation {
    /// The activation once a job is asked for that activates `version`. `named` is how the tenant's stack names the
    /// feature, if one does.
    ///
    /// # Errors
    /// [`domain::Kind::InvalidTransition`].
    pub(crate) fn requested(
        before: Option<&Self>,
        place: &Place,
        version: Version,
        job: Uuid,
        named: Option<StackFeature>,
    ) -> Result<Self> {
        let stays = before.is_some_and(Self::is_bound);
        let mut after = match before {
            Some(before) => before.stepped(FeatureEvent::Activate)?,
            None => Self::new(place, version.clone(), job),
        };
        if !stays {
            after.stack_id =
                named.as_ref().map_or_else(StackId::default_stack, |named| named.stack_id.clone());
            after.has_service = named.as_ref().is_none_or(|named| named.has_service);
        }
        after.package =
            named.map_or_else(|| domain::feature::default_package(&place.feature), |named| named.package);
        (after.feature_version, after.provision_job_id) = (version, job);
        (after.requested_at, after.error, after.deactivated_at) = (after.updated_at, None, None);
        Ok(after)
    }

    fn new(place: &Place, version: Version, job: Uuid) -> Self {
        let now = clock::now();
        Self {
            id: domain::id::uuid_v7(),
            platform_id: place.platform.clone(),
            entity_id: place.entity.clone(),
            feature_id: place.feature.clone(),
            feature_version: version,
            environment: place.environment,
            status: FeatureStatus::Pending,
            error: None,
            activated_at: None,
            deactivated_at: None,
            created_at: now,
            updated_at: now,
            provision_job_id: job,
            requested_at: now,
            stack_id: StackId::default_stack(),
            package: String::new(),
            has_service: true,
            live_version: None,
            live_package: None,
            service_url: None,
            has_data: false,
            took_ms: None,
        }
    }

    /// Whether it is, or is about to be, active in this version.
    pub(crate) fn covers(&self, version: &Version) -> bool {
        self.feature_version == *version
            && (self.status == FeatureStatus::Active || self.status.is_on_its_way())
    }

    /// Whether there is something of it where it was: then its service stays in the stack it is in.
    fn is_bound(&self) -> bool {
        self.status.is_live() || self.has_data
    }

    /// The activation once a job is asked for that deactivates it: no one is led to it from now on.
    ///
    /// # Errors
    /// [`domain::Kind::InvalidTransition`].
    pub(crate) fn given_up(&self, job: Uuid) -> Result<Self> {
        let mut after = self.stepped(FeatureEvent::Deactivate)?;
        (after.provision_job_id, after.requested_at, after.error) = (job, after.updated_at, None);
        (after.live_version, after.live_package) = (None, None);
        Ok(after)
    }

    /// The activation after an event that changes nothing but its status.
    ///
    /// # Errors
    /// [`domain::Kind::InvalidTransition`].
    pub(crate) fn stepped(&self, event: FeatureEvent) -> Result<Self> {
        Ok(Self { status: self.status.after(event)?, updated_at: clock::now(), ..self.clone() })
    }

    /// Where it stands in the list.
    pub(crate) fn place(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
