//! Principals of the access matrix: every role in every scope.

use domain::{EntityId, Grant, GrantScope, PlatformId, Role, access::Target};
use identity::{ActorType, Caller};

/// Platforms and entities whose scopes differ in what they include. Requests are for `entity` in the platform `own`.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    pub own: PlatformId,
    pub other: PlatformId,
    pub deleted: PlatformId,
    pub entity: EntityId,
    /// Parent of `entity`.
    pub parent: EntityId,
    /// Child of `entity`.
    pub child: EntityId,
    /// Other child of `parent`.
    pub sibling: EntityId,
    /// Deleted entity of `own`.
    pub gone: EntityId,
    /// Entity of `other`.
    pub foreign: EntityId,
}

/// A caller with a name for failure messages.
#[derive(Debug, Clone)]
pub struct Principal {
    pub name: String,
    pub caller: Caller,
}

impl Principal {
    /// Creates a principal with these grants.
    pub fn new(name: impl Into<String>, actor: ActorType, grants: Vec<Grant>) -> Self {
        let name = name.into();
        let caller = Caller::authenticated(format!("{}:{name}", actor.as_str()), actor, grants);
        Self { name, caller }
    }

    /// Returns the scope of the first grant, if there is one.
    pub fn scope(&self) -> Option<&GrantScope> {
        self.caller.grants().first().map(|grant| &grant.scope)
    }

    /// Returns true if a grant of any role includes the target.
    pub fn scope_includes(&self, target: &Target<'_>) -> bool {
        self.caller.grants().iter().any(|grant| grant.scope.includes(target))
    }

    /// Returns true if a grant includes everything.
    pub fn has_global_scope(&self) -> bool {
        self.caller.grants().iter().any(|grant| grant.scope == GrantScope::All)
    }
}

impl Hierarchy {
    /// Returns random ids, which no service knows.
    pub fn random() -> Self {
        let (platform, entity) = (PlatformId::random, EntityId::random);
        Self {
            own: platform(),
            other: platform(),
            deleted: platform(),
            entity: entity(),
            parent: entity(),
            child: entity(),
            sibling: entity(),
            gone: entity(),
            foreign: entity(),
        }
    }

    /// Returns the scopes by name.
    pub fn scopes(&self) -> Vec<(&'static str, GrantScope)> {
        let of_own = |entity: &EntityId| GrantScope::Entity(self.own.clone(), entity.clone());
        vec![
            ("all", GrantScope::All),
            ("own", GrantScope::Platform(self.own.clone())),
            ("other", GrantScope::Platform(self.other.clone())),
            ("deleted", GrantScope::Platform(self.deleted.clone())),
            ("entity", of_own(&self.entity)),
            ("parent", of_own(&self.parent)),
            ("child", of_own(&self.child)),
            ("sibling", of_own(&self.sibling)),
            ("gone", of_own(&self.gone)),
            ("foreign", GrantScope::Entity(self.other.clone(), self.foreign.clone())),
        ]
    }

    /// Returns a principal for every valid combination of a role and a scope, and one without grants.
    pub fn principals(&self, actor: ActorType) -> Vec<Principal> {
        let mut principals = vec![Principal::new("nobody", actor, Vec::new())];
        for (name, scope) in self.scopes() {
            let grants = Role::ALL.iter().filter_map(|role| Grant::new(*role, scope.clone()).ok());
            principals.extend(
                grants.map(|grant| Principal::new(format!("{}-of-{name}", grant.role), actor, vec![grant])),
            );
        }
        principals
    }

    /// Returns an entity and its ancestors, nearest first.
    pub fn with_ancestors(&self, entity: &EntityId) -> Vec<EntityId> {
        let ancestors: &[&EntityId] = if *entity == self.child {
            &[&self.entity, &self.parent]
        } else if *entity == self.entity || *entity == self.sibling {
            &[&self.parent]
        } else {
            &[]
        };
        std::iter::once(entity).chain(ancestors.iter().copied()).cloned().collect()
    }
}
