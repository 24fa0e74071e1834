//! Plan: the features and resources that a stack adds, changes and removes when it changes to a release.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::release::PlannedFeature;
use crate::{
    error::{Error, Result},
    id::StackId,
    name::Slug,
    resource::ResourceType,
    semver::Version,
};

/// Difference between the running version of a stack and the version to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// Version that runs; null if none runs.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub from: Option<Version>,
    /// Version that is to run.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub to: Version,
    pub added: Vec<PlanItem>,
    pub changed: Vec<PlanItem>,
    /// Resources that are removed are no longer used, and keep their data.
    pub removed: Vec<PlanItem>,
}

/// Feature or shared resource that a plan adds, changes or removes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanItem {
    pub kind: PlanItemKind,
    /// Id of the feature, or type of the resource.
    pub id: String,
    /// Version of the feature that runs.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub from: Option<String>,
    /// Version of the feature that is to run.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub to: Option<String>,
}

/// Kind of a plan item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum PlanItemKind {
    Feature,
    Resource,
}

impl Plan {
    /// An empty plan.
    pub(super) fn new(from: Option<Version>, to: Version) -> Self {
        Self { from, to, added: Vec::new(), changed: Vec::new(), removed: Vec::new() }
    }

    /// Adds the difference between two sets of features.
    #[must_use]
    pub(super) fn features(mut self, current: &[PlannedFeature], target: &[PlannedFeature]) -> Self {
        let find = |all: &[PlannedFeature], id: &Slug| all.iter().find(|one| one.feature == *id).cloned();
        for to in target {
            match find(current, &to.feature) {
                None => self.added.push(PlanItem::feature(&to.feature, None, Some(&to.version))),
                Some(from) if from.has_same_code(to) => {}
                Some(from) => {
                    let item = PlanItem::feature(&to.feature, Some(&from.version), Some(&to.version));
                    self.changed.push(item);
                }
            }
        }
        let removed = current.iter().filter(|from| find(target, &from.feature).is_none());
        self.removed.extend(removed.map(|from| PlanItem::feature(&from.feature, Some(&from.version), None)));
        self
    }

    /// Adds the difference between two sets of shared resources.
    #[must_use]
    pub(super) fn resources(mut self, current: &[ResourceType], target: &[ResourceType]) -> Self {
        let only = |these: &[ResourceType], those: &[ResourceType]| -> Vec<PlanItem> {
            these.iter().filter(|kind| !those.contains(kind)).map(|kind| PlanItem::resource(*kind)).collect()
        };
        self.added.extend(only(target, current));
        self.removed.extend(only(current, target));
        self
    }

    /// Returns true if the stack already runs the target.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }

    /// Hash of the plan for one stack.
    ///
    /// # Errors
    /// Returns an error if the plan cannot be written as JSON.
    pub fn hash(&self, stack: &StackId) -> Result<String> {
        let text = serde_json::to_vec(&(stack, self)).map_err(Error::internal)?;
        Ok(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl PlanItem {
    fn feature(id: &Slug, from: Option<&Version>, to: Option<&Version>) -> Self {
        let text = |version: Option<&Version>| version.map(ToString::to_string);
        Self { kind: PlanItemKind::Feature, id: id.to_string(), from: text(from), to: text(to) }
    }

    fn resource(kind: ResourceType) -> Self {
        Self { kind: PlanItemKind::Resource, id: kind.to_string(), from: None, to: None }
    }
}
