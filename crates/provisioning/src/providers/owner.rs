//! Owners of a provider's objects.

use domain::PlatformId;
use serde::{Deserialize, Serialize};

/// Owner of an object. A provider stores it atomically with the object.
///
/// Only the platform decides about ownership. The stack and the entity are informational.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Platform that the object was created for.
    pub platform: PlatformId,
    /// Stack that the object was created for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// Tenant of the stack, or the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
}

/// Outcome of a destroy operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestroyOutcome {
    /// The object was removed.
    Removed,
    /// The object did not exist.
    Absent,
    /// The object still exists, because it does not belong to the owner of the target.
    NotOurs,
}

impl Owner {
    /// Returns the owner for a platform.
    pub fn of(platform: &PlatformId) -> Self {
        Self { platform: platform.clone(), stack: None, entity: None }
    }

    /// Adds the stack and the entity that the object belongs to.
    #[must_use]
    pub fn in_stack(self, stack: impl ToString, entity: impl ToString) -> Self {
        Self { stack: Some(stack.to_string()), entity: Some(entity.to_string()), ..self }
    }

    /// Returns true if both owners are the same platform.
    pub fn is(&self, other: &Self) -> bool {
        self.platform == other.platform
    }

    /// Derives the owner of an object that was created before owners were stored. The names of such objects start with
    /// the id of the platform and a hyphen; the name of a repository is the id. Returns `None` for any other name.
    pub(super) fn derived(name: &str) -> Option<Self> {
        let id = name.split_once('-').map_or(name, |(id, _)| id);
        PlatformId::parse(id).ok().map(|platform| Self::of(&platform))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_of_an_old_object_is_derived_from_its_name() {
        let derived = |name| Owner::derived(name).map(|owner| owner.platform.to_string());
        assert_eq!(derived("k3x9q2m7ab-default-auth-db").as_deref(), Some("k3x9q2m7ab"));
        assert_eq!(derived("k3x9q2m7ab").as_deref(), Some("k3x9q2m7ab"));
        for name in ["acme-db", "default-k3x9q2m7ab", "k3x9q2m7abc-db", "-k3x9q2m7ab", ""] {
            assert_eq!(derived(name), None, "{name}");
        }
    }
}
