//! Whose a provider's object is.

use domain::PlatformId;
use serde::{Deserialize, Serialize};

/// Whose an object is: a platform's. A provider keeps it with the object, from the moment that there is one.
///
/// The stack and the entity are for people who look at the object. The platform alone decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The platform that the object was made for.
    pub platform: PlatformId,
    /// The stack, if it was made for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// The tenant of the stack, or the platform again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
}

/// What a provider did about an object that was to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestroyOutcome {
    /// It is gone.
    Removed,
    /// There was none.
    Absent,
    /// It is still there: it was not made for the owner of the target.
    NotOurs,
}

impl Owner {
    /// A platform as an owner.
    pub fn of(platform: &PlatformId) -> Self {
        Self { platform: platform.clone(), stack: None, entity: None }
    }

    /// The same, for an object of a stack.
    #[must_use]
    pub fn in_stack(self, stack: impl ToString, entity: impl ToString) -> Self {
        Self { stack: Some(stack.to_string()), entity: Some(entity.to_string()), ..self }
    }

    /// Whether objects of `other` are this one's as well.
    pub fn is(&self, other: &Self) -> bool {
        self.platform == other.platform
    }

    /// The owner of an object that was made before owners were kept. All names that were given to objects begin with the
    /// id of the platform and a hyphen; a repository has the id as its name. `None` for any other name: nobody made that.
    pub(super) fn derived(name: &str) -> Option<Self> {
        let id = name.split_once('-').map_or(name, |(id, _)| id);
        PlatformId::parse(id).ok().map(|platform| Self::of(&platform))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_an_old_object_follows_from_its_name() {
        let of = |name| Owner::derived(name).map(|owner| owner.platform.to_string());
        assert_eq!(of("k3x9q2m7ab-default-auth-db").as_deref(), Some("k3x9q2m7ab"));
        assert_eq!(of("k3x9q2m7ab").as_deref(), Some("k3x9q2m7ab"));
        for name in ["acme-db", "default-k3x9q2m7ab", "k3x9q2m7abc-db", "-k3x9q2m7ab", ""] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
