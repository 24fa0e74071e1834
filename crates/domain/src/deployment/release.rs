//! Release: the features and shared resources that a version of a template consists of.

use serde::{Deserialize, Serialize};

use crate::{name::Slug, resource::ResourceType, semver::Version};

/// Version of a template, as a stack deploys it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub version: Version,
    /// Features in the order of the definition.
    pub features: Vec<ReleaseFeature>,
    /// Types of resources that the features share, in the order of their creation.
    pub shared: Vec<ResourceType>,
}

impl Release {
    /// Ids of the features, in the order of the definition.
    pub fn feature_ids(&self) -> Vec<&Slug> {
        self.features.iter().map(|one| &one.feature.feature).collect()
    }
}

/// Feature of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFeature {
    pub feature: PlannedFeature,
    /// Every stack of the release runs it. Any other feature runs once a caller requests it.
    pub required: bool,
}

/// Feature as the tenant runs it, or is to run it, from a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFeature {
    pub feature: Slug,
    pub version: Version,
    pub package: String,
    pub has_service: bool,
    /// Address of its service, once it is deployed.
    #[serde(default)]
    pub service_url: Option<String>,
}

impl PlannedFeature {
    /// Returns true if `other` is deployed from the same code.
    pub fn has_same_code(&self, other: &Self) -> bool {
        (&self.version, &self.package, self.has_service)
            == (&other.version, &other.package, other.has_service)
    }
}
