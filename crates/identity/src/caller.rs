//! Callers and their scopes.
//!
//! Every request to a service carries a token that the gateway or another service signed: an EdDSA JWT that lives at
//! most [`crate::LIFETIME`] and names one audience. Services reject every request without one, so direct access to a
//! service's port gains nothing. Only such a token yields a [`Scope`].

use std::sync::Arc;

use domain::{
    EntityId, Error, Grant, GrantScope, PlatformId, Result, Role,
    access::{About, AccessDecision, Operation, Target},
};
use runtime::fair::FairKey;
use serde::{Deserialize, Serialize};

use crate::{rls_context::RlsContext, scope_filter_enabled};

/// The kind of an actor, as in the audit log.
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
    /// The name in the audit log.
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

/// The objects that a caller may see with the requested operation. Comes from [`crate::Verifier::verify`], or is that
/// of the service itself.
#[derive(Debug, Clone)]
pub struct Scope {
    grants: Arc<GrantSet>,
    operation: Option<Arc<Operation>>,
}

/// A caller's grants, and the same for the database's policies.
#[derive(Debug)]
struct GrantSet {
    grants: Vec<Grant>,
    rls_context: Arc<RlsContext>,
}

/// One platform that is proven to lie inside the caller's scope, and the part of it that the caller sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformScope {
    platform: PlatformId,
    subtree_roots: Option<Vec<EntityId>>,
}

impl Scope {
    fn new(caller: &str, grants: Vec<Grant>) -> Self {
        let rls_context = Arc::new(RlsContext::new(caller, &grants));
        Self { grants: Arc::new(GrantSet { grants, rls_context }), operation: None }
    }

    /// Narrows the scope to the grants that are sufficient for an operation.
    ///
    /// # Errors
    /// [`domain::Kind::Forbidden`] when the operation covers all platforms and the caller's scope does not.
    fn for_operation(&self, operation: Arc<Operation>) -> Result<Self> {
        let is_rejected = operation.about == About::Everything
            && operation.decide(self.grants(), &Target::Everything) != AccessDecision::Allowed;
        if is_rejected && (self.is_all() || scope_filter_enabled()) {
            return Err(operation.refusal());
        }
        Ok(Self { grants: Arc::clone(&self.grants), operation: Some(operation) })
    }

    /// The caller's grants.
    pub fn grants(&self) -> &[Grant] {
        &self.grants.grants
    }

    /// The caller's visible rows, for the database's policies.
    pub fn rls_context(&self) -> &Arc<RlsContext> {
        &self.grants.rls_context
    }

    /// Narrows the scope to one platform, or to those of its subtrees for which the caller's role is sufficient.
    ///
    /// # Errors
    /// [`domain::Kind::NotFound`] when the platform lies outside, exactly as if it did not exist;
    /// [`domain::Kind::Forbidden`] when the caller's role there is not sufficient.
    pub fn platform(&self, id: &PlatformId) -> Result<PlatformScope> {
        let whole = match &self.operation {
            Some(operation) => match operation.decide(self.grants(), &Target::Platform(id)) {
                AccessDecision::Allowed => {
                    return Ok(PlatformScope { platform: id.clone(), subtree_roots: None });
                }
                decision => decision,
            },
            None if self.grants().iter().any(|grant| grant.scope.includes(&Target::Platform(id))) => {
                return Ok(PlatformScope { platform: id.clone(), subtree_roots: None });
            }
            None => AccessDecision::Outside,
        };
        let roots = self.entity_roots(id);
        if !roots.is_empty() {
            return Ok(PlatformScope { platform: id.clone(), subtree_roots: Some(roots) });
        }
        let is_inside = |grant: &Grant| grant.scope.platform() == Some(id) && self.is_about_entities();
        match &self.operation {
            Some(operation) if whole == AccessDecision::Forbidden || self.grants().iter().any(is_inside) => {
                Err(operation.refusal())
            }
            _ if !scope_filter_enabled() => Ok(self.unproven(id)),
            _ => Err(Error::not_found("platform", id)),
        }
    }

    /// The scope of a platform without proof that the caller may see it, for tests of row-level security.
    fn unproven(&self, id: &PlatformId) -> PlatformScope {
        let roots = self.only_entities().into_iter().cloned().collect();
        let sees_platforms = self.grants().iter().any(|grant| grant.scope.entity().is_none());
        PlatformScope { platform: id.clone(), subtree_roots: (!sees_platforms).then_some(roots) }
    }

    /// The roots of the subtrees of a platform in which the caller has a sufficient role.
    fn entity_roots(&self, id: &PlatformId) -> Vec<EntityId> {
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

    /// The platforms that the caller sees completely; `None` if the caller sees every platform.
    pub fn only_platforms(&self) -> Option<Vec<&PlatformId>> {
        if self.is_all() || !scope_filter_enabled() {
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

    /// The roots of the subtrees that the caller sees, in platforms that they do not see completely.
    pub fn only_entities(&self) -> Vec<&EntityId> {
        self.grants().iter().filter_map(|grant| grant.scope.entity()).collect()
    }

    /// Returns true if the caller sees every platform.
    pub fn is_all(&self) -> bool {
        self.grants().iter().any(|grant| grant.scope == GrantScope::All)
    }
}

impl PlatformScope {
    /// The platform.
    pub fn id(&self) -> &PlatformId {
        &self.platform
    }

    /// The roots of the subtrees that the caller sees; `None` if the caller sees the whole platform.
    pub fn subtree_roots(&self) -> Option<&[EntityId]> {
        self.subtree_roots.as_deref()
    }
}

/// A caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The process that signed the token: `gateway`, or a service's name.
    pub issuer: String,
    /// Stable name of the actor, such as `operator`, `apikey:...` or `service:onboarding`.
    pub id: String,
    /// The kind of actor.
    pub actor_type: ActorType,
    /// The objects that the caller may see.
    pub scope: Scope,
}

impl Caller {
    /// A caller whom the gateway has authenticated, with their grants.
    pub fn authenticated(id: impl Into<String>, actor_type: ActorType, grants: Vec<Grant>) -> Self {
        Self::signed("gateway".to_owned(), id.into(), actor_type, grants)
    }

    /// The service itself, for work on its own behalf.
    pub fn this_service(name: &str) -> Self {
        let id = format!("service:{name}");
        Self::signed(name.to_owned(), id, ActorType::Service, vec![EVERYTHING])
    }

    /// The operator.
    pub fn operator() -> Self {
        Self::authenticated("operator", ActorType::Operator, vec![EVERYTHING])
    }

    pub(crate) fn signed(issuer: String, id: String, actor_type: ActorType, grants: Vec<Grant>) -> Self {
        let scope = Scope::new(&id, grants);
        Self { issuer, id, actor_type, scope }
    }

    /// Narrows the caller's scope to the grants that are sufficient for an operation.
    ///
    /// # Errors
    /// [`domain::Kind::Forbidden`] when the operation covers all platforms and the caller's scope does not.
    pub fn for_operation(mut self, operation: Arc<Operation>) -> Result<Self> {
        self.scope = self.scope.for_operation(operation)?;
        Ok(self)
    }

    /// The caller's grants.
    pub fn grants(&self) -> &[Grant] {
        self.scope.grants()
    }

    /// The key for the fair sharing of connections and request slots. All callers of one platform share one tenant's
    /// part.
    pub fn fairness_key(&self) -> &FairKey {
        &self.scope.rls_context().fairness_key
    }

    /// Returns true if the caller is an operator or a service.
    pub fn is_operator(&self) -> bool {
        self.grants().contains(&EVERYTHING)
    }
}

/// The grant of operators and services.
const EVERYTHING: Grant = Grant { role: Role::Operator, scope: GrantScope::All };

#[cfg(test)]
mod tests;
