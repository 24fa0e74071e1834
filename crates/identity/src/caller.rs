//! Who calls, and what they may see.
//!
//! Every request to a service carries a token that the gateway or another service signed: an EdDSA JWT of at most
//! [`crate::LIFETIME`], made for one audience. A request without one gets in nowhere, so reaching a service's port
//! directly gains nothing. A [`Scope`] cannot be made but from such a token.

use std::sync::Arc;

use domain::{
    EntityId, Error, Grant, GrantScope, PlatformId, Result, Role,
    access::{About, AccessDecision, Operation, Target},
};
use runtime::fair::FairKey;
use serde::{Deserialize, Serialize};

use crate::{scope_is_enforced, sight::Sight};

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

/// What a caller may see, for the operation that is asked for. Made by [`crate::Verifier::verify`], or for the service itself.
#[derive(Debug, Clone)]
pub struct Scope {
    held: Arc<Held>,
    operation: Option<Arc<Operation>>,
}

/// What a caller holds, and how the database is told of it.
#[derive(Debug)]
struct Held {
    grants: Vec<Grant>,
    sight: Arc<Sight>,
}

/// One platform, proven to lie inside the caller's scope, and what of it the caller sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformScope {
    platform: PlatformId,
    roots: Option<Vec<EntityId>>,
}

impl Scope {
    fn of(caller: &str, grants: Vec<Grant>) -> Self {
        let sight = Arc::new(Sight::of(caller, &grants));
        Self { held: Arc::new(Held { grants, sight }), operation: None }
    }

    /// The same for one operation: only the access that it requires counts.
    ///
    /// # Errors
    /// [`domain::Kind::Forbidden`] when it is about everything, and the caller does not reach that.
    fn doing(&self, operation: Arc<Operation>) -> Result<Self> {
        let refused = operation.about == About::Everything
            && operation.decide(self.grants(), &Target::Everything) != AccessDecision::Allowed;
        if refused && (self.is_all() || scope_is_enforced()) {
            return Err(operation.refusal());
        }
        Ok(Self { held: Arc::clone(&self.held), operation: Some(operation) })
    }

    /// What the caller holds.
    pub fn grants(&self) -> &[Grant] {
        &self.held.grants
    }

    /// What the database is told that the caller sees.
    pub fn sight(&self) -> &Arc<Sight> {
        &self.held.sight
    }

    /// Narrows to one platform, or to those of its entities that the caller's role reaches.
    ///
    /// # Errors
    /// [`domain::Kind::NotFound`] when it lies outside: exactly as if it did not exist;
    /// [`domain::Kind::Forbidden`] when the caller's role there is too low.
    pub fn platform(&self, id: &PlatformId) -> Result<PlatformScope> {
        let whole = match &self.operation {
            Some(operation) => match operation.decide(self.grants(), &Target::Platform(id)) {
                AccessDecision::Allowed => return Ok(PlatformScope { platform: id.clone(), roots: None }),
                verdict => verdict,
            },
            None if self.grants().iter().any(|grant| grant.scope.includes(&Target::Platform(id))) => {
                return Ok(PlatformScope { platform: id.clone(), roots: None });
            }
            None => AccessDecision::Outside,
        };
        let roots = self.roots(id);
        if !roots.is_empty() {
            return Ok(PlatformScope { platform: id.clone(), roots: Some(roots) });
        }
        let inside = |grant: &Grant| grant.scope.platform() == Some(id) && self.is_about_entities();
        match &self.operation {
            Some(operation) if whole == AccessDecision::Forbidden || self.grants().iter().any(inside) => {
                Err(operation.refusal())
            }
            _ if !scope_is_enforced() => Ok(self.unproven(id)),
            _ => Err(Error::not_found("platform", id)),
        }
    }

    /// A platform that was not proven to lie inside: what PostgreSQL alone is tried with.
    fn unproven(&self, id: &PlatformId) -> PlatformScope {
        let roots = self.only_entities().into_iter().cloned().collect();
        let sees_platforms = self.grants().iter().any(|grant| grant.scope.entity().is_none());
        PlatformScope { platform: id.clone(), roots: (!sees_platforms).then_some(roots) }
    }

    /// The entities of a platform that the caller reaches, with what is under them, in a role that is high enough.
    fn roots(&self, id: &PlatformId) -> Vec<EntityId> {
        let least = self.operation.as_ref().map_or(Role::Viewer, |operation| operation.least);
        let root = |grant: &Grant| match &grant.scope {
            GrantScope::Entity(platform, root) if platform == id && grant.role.covers(least) => {
                Some(root.clone())
            }
            _ => None,
        };
        if self.is_about_entities() { self.grants().iter().filter_map(root).collect() } else { Vec::new() }
    }

    fn is_about_entities(&self) -> bool {
        self.operation.as_ref().is_none_or(|operation| operation.about == About::Entity)
    }

    /// The platforms that the caller sees whole; none for a caller who sees all.
    pub fn only_platforms(&self) -> Option<Vec<&PlatformId>> {
        if self.is_all() || !scope_is_enforced() {
            return None;
        }
        let whole = |grant: &Grant| grant.scope.entity().is_none();
        Some(
            self.grants()
                .iter()
                .filter(|grant| whole(grant))
                .filter_map(|grant| grant.scope.platform())
                .collect(),
        )
    }

    /// The entities that the caller sees with what is under them, in platforms that they do not see whole.
    pub fn only_entities(&self) -> Vec<&EntityId> {
        self.grants().iter().filter_map(|grant| grant.scope.entity()).collect()
    }

    /// Whether the caller sees every platform.
    pub fn is_all(&self) -> bool {
        self.grants().iter().any(|grant| grant.scope == GrantScope::All)
    }
}

impl PlatformScope {
    /// The platform.
    pub fn id(&self) -> &PlatformId {
        &self.platform
    }

    /// The entities that are seen, with what is under them; none when the platform is seen whole.
    pub fn roots(&self) -> Option<&[EntityId]> {
        self.roots.as_deref()
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The process that signed: `gateway`, or a service's name.
    pub issuer: String,
    /// Stable name of the actor, such as `operator`, `apikey:...` or `service:onboarding`.
    pub id: String,
    /// What kind of actor it is.
    pub actor_type: ActorType,
    /// What they may see.
    pub scope: Scope,
}

impl Caller {
    /// Someone the gateway knows, with what they hold.
    pub fn known(id: impl Into<String>, actor_type: ActorType, grants: Vec<Grant>) -> Self {
        Self::signed("gateway".to_owned(), id.into(), actor_type, grants)
    }

    /// The service itself, at work on its own account.
    pub fn this_service(name: &str) -> Self {
        let id = format!("service:{name}");
        Self::signed(name.to_owned(), id, ActorType::Service, vec![EVERYTHING])
    }

    /// The operator, who may do everything.
    pub fn operator() -> Self {
        Self::known("operator", ActorType::Operator, vec![EVERYTHING])
    }

    pub(crate) fn signed(issuer: String, id: String, actor_type: ActorType, grants: Vec<Grant>) -> Self {
        let scope = Scope::of(&id, grants);
        Self { issuer, id, actor_type, scope }
    }

    /// The same caller, doing one operation.
    ///
    /// # Errors
    /// [`domain::Kind::Forbidden`] when it is about everything, and the caller does not reach that.
    pub fn doing(mut self, operation: Arc<Operation>) -> Result<Self> {
        self.scope = self.scope.doing(operation)?;
        Ok(self)
    }

    /// What they hold.
    pub fn grants(&self) -> &[Grant] {
        self.scope.grants()
    }

    /// Whose share of what is scarce they use. All callers of one platform have one tenant's share.
    pub fn share(&self) -> &FairKey {
        &self.scope.sight().share
    }

    /// Whether the caller is an operator or another service of ours.
    pub fn is_operator(&self) -> bool {
        self.grants().contains(&EVERYTHING)
    }
}

/// What operators and services hold.
const EVERYTHING: Grant = Grant { role: Role::Operator, scope: GrantScope::All };

#[cfg(test)]
mod tests;
