//! Resources that the features of a stack share.

use crate::resource::ResourceType;

/// Name of the service that owns the shared resources of a stack. No feature can have this name.
pub const SHARED: &str = "shared";

/// Types of resources that the features of a stack can share, in the order of their creation.
pub const SHARABLE: [ResourceType; 4] =
    [ResourceType::D1, ResourceType::R2, ResourceType::Kv, ResourceType::Queue];
