//! Who calls, and what they may see.
//!
//! Every request to a service carries a token that the gateway or another service signed: an EdDSA JWT of at most
//! [`LIFETIME`], made for one audience. A request without one gets in nowhere, so reaching a service's port
//! directly gains nothing. A [`Scope`] cannot be made but from such a token.

mod keys;
mod token;

pub use keys::{IdentitySettings, KeyPair};
pub use token::{LIFETIME, Signer, Verifier};

use domain::{EntityId, Error, Kind, PlatformId, Result};
use serde::{Deserialize, Serialize};

/// What kind of caller an actor is, as the audit log tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorType {
    User,
    Apikey,
    Operator,
    Service,
    System,
}

impl ActorType {
    /// The text of the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Apikey => "apikey",
            Self::Operator => "operator",
            Self::Service => "service",
            Self::System => "system",
        }
    }
}

/// What a caller may do inside their scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Operator,
    PlatformAdmin,
    Developer,
    Viewer,
    Service,
}

/// What a caller may see. Made by [`Verifier::verify`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(Reach);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reach {
    All,
    Platform(PlatformId),
    Entity(PlatformId, EntityId),
}

/// One platform, proven to lie inside the caller's scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformScope(PlatformId);

impl Scope {
    /// Narrows to one platform.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it lies outside: exactly as if it did not exist.
    pub fn platform(&self, id: &PlatformId) -> Result<PlatformScope> {
        match &self.0 {
            Reach::All => Ok(PlatformScope(id.clone())),
            Reach::Platform(own) | Reach::Entity(own, _) if own == id => Ok(PlatformScope(id.clone())),
            _ => Err(Error::not_found("platform", id)),
        }
    }

    /// The one platform that the caller sees; none for a caller who sees all.
    pub fn only_platform(&self) -> Option<&PlatformId> {
        match &self.0 {
            Reach::All => None,
            Reach::Platform(own) | Reach::Entity(own, _) => Some(own),
        }
    }

    /// Whether the caller sees every platform.
    pub fn is_all(&self) -> bool {
        self.0 == Reach::All
    }
}

impl PlatformScope {
    /// The platform.
    pub fn id(&self) -> &PlatformId {
        &self.0
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The process that signed: `gateway`, or a service's name.
    pub issuer: String,
    /// Stable name of the actor, such as `operator` or `service:onboarding`.
    pub id: String,
    /// What kind of actor it is.
    pub actor_type: ActorType,
    /// What they may do.
    pub role: Role,
    /// What they may see.
    pub scope: Scope,
}

impl Caller {
    /// The service itself, at work on its own account.
    pub fn this_service(name: &str) -> Self {
        Self {
            issuer: name.to_owned(),
            id: format!("service:{name}"),
            actor_type: ActorType::Service,
            role: Role::Service,
            scope: Scope(Reach::All),
        }
    }

    /// The operator, who may do everything.
    pub fn operator() -> Self {
        Self {
            issuer: "gateway".to_owned(),
            id: "operator".to_owned(),
            actor_type: ActorType::Operator,
            role: Role::Operator,
            scope: Scope(Reach::All),
        }
    }

    /// Whether the caller is an operator or another service of ours.
    pub fn is_operator(&self) -> bool {
        matches!(self.role, Role::Operator | Role::Service)
    }

    /// Lets operators pass.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] for anyone else.
    pub fn require_operator(&self) -> Result<()> {
        if self.is_operator() {
            Ok(())
        } else {
            Err(Error::new(Kind::Forbidden, "Only operators may do this"))
        }
    }
}
