//! Access control: roles, grants, and what an operation requires.
//!
//! A caller holds grants. A grant is a role and how far it reaches: everything, one platform, or one entity with what
//! is under it. The handler of an operation declares the [`Access`] that it requires: the least role and what the
//! operation is about. [`Operation::verdict`] alone decides from the two whether a caller may do it.

mod declared;

use serde::{Deserialize, Serialize};

pub use declared::{METHODS, declared_operation, declared_operations};

use crate::{EntityId, Error, Kind, PlatformId, Result};

text_enum! {
    /// What someone may do within their reach. Each role may do what those before it may.
    pub enum Role {
        Viewer = "viewer",
        Developer = "developer",
        PlatformAdmin = "platform-admin",
        Operator = "operator",
    }
}

impl Role {
    /// How much it may do, beside the other roles.
    const fn rank(self) -> u8 {
        match self {
            Self::Viewer => 0,
            Self::Developer => 1,
            Self::PlatformAdmin => 2,
            Self::Operator => 3,
        }
    }

    /// Whether it may do all that `other` may.
    pub const fn covers(self, other: Self) -> bool {
        self.rank() >= other.rank()
    }
}

/// How far a grant reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// All platforms.
    All,
    /// One platform, whole.
    Platform(PlatformId),
    /// An entity of a platform, and what is under it.
    Entity(PlatformId, EntityId),
}

impl Reach {
    /// The reach that these two name: an entity needs its platform.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an entity without its platform.
    pub fn of(platform: Option<PlatformId>, entity: Option<EntityId>) -> Result<Self> {
        match (platform, entity) {
            (None, None) => Ok(Self::All),
            (Some(platform), None) => Ok(Self::Platform(platform)),
            (Some(platform), Some(entity)) => Ok(Self::Entity(platform, entity)),
            (None, Some(_)) => Err(Error::invalid("platformId", "is required with entityId")),
        }
    }

    /// The platform, unless it is all of them.
    pub const fn platform(&self) -> Option<&PlatformId> {
        match self {
            Self::All => None,
            Self::Platform(platform) | Self::Entity(platform, _) => Some(platform),
        }
    }

    /// The entity, if it is only one.
    pub const fn entity(&self) -> Option<&EntityId> {
        match self {
            Self::Entity(_, entity) => Some(entity),
            Self::All | Self::Platform(_) => None,
        }
    }

    /// Whether `target` lies within.
    pub fn includes(&self, target: &Target<'_>) -> bool {
        match (self, target) {
            (Self::All, _) => true,
            (Self::Platform(own), Target::Platform(id) | Target::Entity(id, _)) => own == *id,
            (Self::Entity(own, root), Target::Entity(id, line)) => own == *id && line.contains(root),
            (Self::Platform(_) | Self::Entity(..), Target::Everything) | (Self::Entity(..), _) => false,
        }
    }
}

/// A role, and how far it reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// What may be done.
    pub role: Role,
    /// Where.
    pub reach: Reach,
}

impl Grant {
    /// A grant of what can be granted.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an operator of less than everything: cross-platform operations would be part of it.
    pub fn new(role: Role, reach: Reach) -> Result<Self> {
        if role == Role::Operator && reach != Reach::All {
            return Err(Error::invalid(
                "role",
                "operator reaches all platforms: leave out platformId and entityId",
            ));
        }
        Ok(Self { role, reach })
    }
}

/// What an operation is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// Nothing that belongs to one platform.
    Everything,
    /// A platform as a whole, or what belongs to no entity of it.
    Platform(&'a PlatformId),
    /// What belongs to an entity of a platform: the entity itself and all that it is under.
    Entity(&'a PlatformId, &'a [EntityId]),
}

/// What an operation is about, by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Whoever is known may do it; what they are answered is their own, or nobody's.
    Caller,
    /// More than one platform, or what belongs to none: a grant that reaches all is needed.
    Everything,
    /// One platform as a whole. Who reaches but an entity of it finds nothing.
    Platform,
    /// What is inside a platform, and may belong to an entity.
    Entity,
}

/// The access that an operation requires. Its handler declares it as the OpenAPI extension [`Access::EXTENSION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", content = "role", rename_all = "lowercase")]
pub enum Access {
    /// Any known caller. The operation itself limits what they see and change to what is theirs.
    Caller,
    /// An operator of all platforms.
    Everything,
    /// At least this role on the whole platform.
    Platform(Role),
    /// At least this role on the entity, on one above it, or on the platform.
    Entity(Role),
}

impl Access {
    /// Name of the extension in OpenAPI documents.
    pub const EXTENSION: &str = "x-access";

    /// The least role. [`Access::Caller`] asks for none, so any is enough.
    pub const fn least(self) -> Role {
        match self {
            Self::Caller => Role::Viewer,
            Self::Everything => Role::Operator,
            Self::Platform(role) | Self::Entity(role) => role,
        }
    }

    /// What the operation is about.
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
    /// The least role that may do it. Without meaning for an operation about the caller.
    pub least: Role,
    /// What it is about.
    pub about: About,
}

/// Whether an operation is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Allowed,
    /// It is not: the caller's role there is too low.
    Forbidden,
    /// It is not: what it is done to lies outside, as if it did not exist.
    Outside,
}

impl Operation {
    /// The operation with this `operationId`. An alias counts as the operation that it is an alias of.
    pub fn new(id: &str, access: Access) -> Self {
        Self { id: Self::without_alias(id).to_owned(), least: access.least(), about: access.about() }
    }

    /// `listResources` of `listResourcesAlias`.
    pub fn without_alias(id: &str) -> &str {
        id.strip_suffix("Alias").unwrap_or(id)
    }

    /// Whether who holds `grants` may do it to `target`.
    pub fn verdict(&self, grants: &[Grant], target: &Target<'_>) -> Verdict {
        if self.about == About::Caller {
            return Verdict::Allowed;
        }
        let mut within = grants.iter().filter(|grant| grant.reach.includes(target)).peekable();
        if within.peek().is_none() {
            // What is about everything is there for all to know; that it is not theirs is no secret.
            return if self.about == About::Everything { Verdict::Forbidden } else { Verdict::Outside };
        }
        if within.any(|grant| grant.role.covers(self.least)) { Verdict::Allowed } else { Verdict::Forbidden }
    }

    /// What is told to who may not do it.
    pub fn refusal(&self) -> Error {
        let message = match self.about {
            About::Everything => format!("Only an {} of all platforms may do this", self.least),
            _ => format!("This needs the role {} here", self.least),
        };
        Error::new(Kind::Forbidden, message).with("operation", &self.id).with("needs", self.least)
    }
}

/// Whether who holds `grants` may grant `wanted`: nobody grants more than they hold. `line` is the entity of `wanted`
/// and all that it is under, if it is one.
pub fn may_grant(grants: &[Grant], wanted: &Grant, line: &[EntityId]) -> bool {
    let target = match &wanted.reach {
        Reach::All => Target::Everything,
        Reach::Platform(platform) => Target::Platform(platform),
        Reach::Entity(platform, _) => Target::Entity(platform, line),
    };
    let covers = |own: &Grant| own.role.covers(Role::PlatformAdmin) && own.role.covers(wanted.role);
    grants.iter().any(|own| covers(own) && own.reach.includes(&target))
}

#[cfg(test)]
mod tests;
