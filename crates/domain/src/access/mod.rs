//! Access control: roles, grants, and what an operation requires.
//!
//! A caller holds grants. A grant is a role with a scope: all platforms, one platform, or one entity and its
//! descendants. The handler of an operation declares the [`Access`] that it requires: the least role, and the kind of
//! object that the operation is about. [`Operation::decide`] is the only place that compares the two.

mod declared;

use serde::{Deserialize, Serialize};

pub use declared::{METHODS, declared_operation, declared_operations};

use crate::{EntityId, Error, Kind, PlatformId, Result};

text_enum! {
    /// Role of a caller within a scope. Each role includes the permissions of the roles before it.
    pub enum Role {
        Viewer = "viewer",
        Developer = "developer",
        PlatformAdmin = "platform-admin",
        Operator = "operator",
    }
}

impl Role {
    /// Position in the order of the roles, lowest first.
    const fn rank(self) -> u8 {
        match self {
            Self::Viewer => 0,
            Self::Developer => 1,
            Self::PlatformAdmin => 2,
            Self::Operator => 3,
        }
    }

    /// Returns true if the role includes the permissions of `other`.
    pub const fn covers(self, other: Self) -> bool {
        self.rank() >= other.rank()
    }
}

/// Scope of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantScope {
    /// All platforms.
    All,
    /// One platform as a whole.
    Platform(PlatformId),
    /// An entity of a platform, and its descendants.
    Entity(PlatformId, EntityId),
}

impl GrantScope {
    /// The scope of a platform and an entity. Without a platform, the scope is all platforms.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an entity without its platform.
    pub fn new(platform: Option<PlatformId>, entity: Option<EntityId>) -> Result<Self> {
        match (platform, entity) {
            (None, None) => Ok(Self::All),
            (Some(platform), None) => Ok(Self::Platform(platform)),
            (Some(platform), Some(entity)) => Ok(Self::Entity(platform, entity)),
            (None, Some(_)) => Err(Error::invalid("platformId", "is required with entityId")),
        }
    }

    /// The platform; `None` for all platforms.
    pub const fn platform(&self) -> Option<&PlatformId> {
        match self {
            Self::All => None,
            Self::Platform(platform) | Self::Entity(platform, _) => Some(platform),
        }
    }

    /// The entity, if the scope is one entity and its descendants.
    pub const fn entity(&self) -> Option<&EntityId> {
        match self {
            Self::Entity(_, entity) => Some(entity),
            Self::All | Self::Platform(_) => None,
        }
    }

    /// Returns true if `target` lies within the scope.
    pub fn includes(&self, target: &Target<'_>) -> bool {
        match (self, target) {
            (Self::All, _) => true,
            (Self::Platform(own), Target::Platform(id) | Target::Entity(id, _)) => own == *id,
            (Self::Entity(own, root), Target::Entity(id, path)) => own == *id && path.contains(root),
            (Self::Platform(_) | Self::Entity(..), Target::Everything) | (Self::Entity(..), _) => false,
        }
    }
}

/// A role within a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    pub role: Role,
    // Services and gateways of older versions call it `reach` in tokens.
    #[serde(rename = "reach")]
    pub scope: GrantScope,
}

impl Grant {
    /// A grant of a role within a scope.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an operator within a platform: the role includes operations across platforms.
    pub fn new(role: Role, scope: GrantScope) -> Result<Self> {
        if role == Role::Operator && scope != GrantScope::All {
            return Err(Error::invalid(
                "role",
                "must not be operator within a platform: leave out platformId and entityId",
            ));
        }
        Ok(Self { role, scope })
    }
}

/// Object that a caller applies an operation to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// More than one platform, or an object that belongs to no platform.
    Everything,
    /// A platform as a whole, or an object of it that belongs to no entity.
    Platform(&'a PlatformId),
    /// An object that belongs to an entity of a platform, with the entity and its ancestors.
    Entity(&'a PlatformId, &'a [EntityId]),
}

/// Kind of object that an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The caller itself. Every authenticated caller is allowed, and the operation limits the result to its own objects.
    Caller,
    /// More than one platform, or an object that belongs to no platform: requires a grant for all platforms.
    Everything,
    /// One platform as a whole. It does not exist for a caller whose grants cover only entities of it.
    Platform,
    /// An object of a platform, which may belong to an entity.
    Entity,
}

/// The access that an operation requires. Its handler declares it as the OpenAPI extension [`Access::EXTENSION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", content = "role", rename_all = "lowercase")]
pub enum Access {
    /// Any authenticated caller. The operation itself limits the caller to its own objects.
    Caller,
    /// An operator.
    Everything,
    /// At least this role on the whole platform.
    Platform(Role),
    /// At least this role on the entity, on an ancestor of it, or on the platform.
    Entity(Role),
}

impl Access {
    /// Name of the extension in OpenAPI documents.
    pub const EXTENSION: &str = "x-access";

    /// The least role. [`Access::Caller`] requires none, so the lowest is enough.
    pub const fn least(self) -> Role {
        match self {
            Self::Caller => Role::Viewer,
            Self::Everything => Role::Operator,
            Self::Platform(role) | Self::Entity(role) => role,
        }
    }

    /// The kind of object that the operation is about.
    pub const fn about(self) -> About {
        match self {
            Self::Caller => About::Caller,
            Self::Everything => About::Everything,
            Self::Platform(_) => About::Platform,
            Self::Entity(_) => About::Entity,
        }
    }
}

/// An operation of the API, with the access that its handler declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `operationId` of the OpenAPI documents.
    pub id: String,
    /// The least role that may call it. Without meaning for an operation about the caller.
    pub least: Role,
    /// Kind of object that it is about.
    pub about: About,
}

/// Decision whether a caller may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessDecision {
    Allowed,
    /// The caller's role in the scope is too low.
    Forbidden,
    /// The target lies outside the caller's scope, as if it did not exist.
    Outside,
}

impl Operation {
    /// The operation with this `operationId`. An alias counts as the operation that it is an alias of.
    pub fn new(id: &str, access: Access) -> Self {
        Self { id: Self::without_alias(id).to_owned(), least: access.least(), about: access.about() }
    }

    /// The id without the suffix of an alias: `listResources` for `listResourcesAlias`.
    pub fn without_alias(id: &str) -> &str {
        id.strip_suffix("Alias").unwrap_or(id)
    }

    /// Decides whether a caller with `grants` may apply the operation to `target`.
    pub fn decide(&self, grants: &[Grant], target: &Target<'_>) -> AccessDecision {
        if self.about == About::Caller {
            return AccessDecision::Allowed;
        }
        let mut within = grants.iter().filter(|grant| grant.scope.includes(target)).peekable();
        if within.peek().is_none() {
            // Operations about everything are public knowledge: 403 reveals nothing.
            return if self.about == About::Everything {
                AccessDecision::Forbidden
            } else {
                AccessDecision::Outside
            };
        }
        if within.any(|grant| grant.role.covers(self.least)) {
            AccessDecision::Allowed
        } else {
            AccessDecision::Forbidden
        }
    }

    /// The error for a caller whose role is too low.
    pub fn refusal(&self) -> Error {
        let message = match self.about {
            About::Everything => format!("This operation requires the role {} on all platforms.", self.least),
            _ => format!("This operation requires the role {} in this scope.", self.least),
        };
        Error::new(Kind::Forbidden, message).with("operation", &self.id).with("needs", self.least)
    }
}

/// Returns true if a caller with `grants` may create `new`: a caller can only grant permissions that it holds. `path`
/// is the entity of `new` with its ancestors, and empty if the scope is not an entity.
pub fn may_grant(grants: &[Grant], new: &Grant, path: &[EntityId]) -> bool {
    let target = match &new.scope {
        GrantScope::All => Target::Everything,
        GrantScope::Platform(platform) => Target::Platform(platform),
        GrantScope::Entity(platform, _) => Target::Entity(platform, path),
    };
    let covers = |own: &Grant| own.role.covers(Role::PlatformAdmin) && own.role.covers(new.role);
    grants.iter().any(|own| covers(own) && own.scope.includes(&target))
}

#[cfg(test)]
mod tests;
