//! Who asks: every role, reaching from every place.

use domain::{EntityId, Grant, GrantScope, PlatformId, Role, access::Target};
use identity::{ActorType, Caller};

/// Places that differ in what is seen from them. What is looked for is that of `entity`, in the platform `own`.
#[derive(Debug, Clone)]
pub struct Places {
    pub own: PlatformId,
    pub other: PlatformId,
    pub deleted: PlatformId,
    pub entity: EntityId,
    /// What `entity` is under.
    pub parent: EntityId,
    /// What is under `entity`.
    pub child: EntityId,
    /// Beside `entity`, under the same parent.
    pub sibling: EntityId,
    /// Was in `own`.
    pub gone: EntityId,
    /// In `other`.
    pub foreign: EntityId,
}

/// A caller, and what they are called where a check fails.
#[derive(Debug, Clone)]
pub struct Someone {
    pub name: String,
    pub caller: Caller,
}

impl Someone {
    /// Someone with these grants.
    pub fn new(name: impl Into<String>, actor: ActorType, grants: Vec<Grant>) -> Self {
        let name = name.into();
        let caller = Caller::authenticated(format!("{}:{name}", actor.as_str()), actor, grants);
        Self { name, caller }
    }

    /// How far they reach, if they hold something.
    pub fn reach(&self) -> Option<&GrantScope> {
        self.caller.grants().first().map(|grant| &grant.scope)
    }

    /// Whether they reach something, in whatever role.
    pub fn reaches(&self, target: &Target<'_>) -> bool {
        self.caller.grants().iter().any(|grant| grant.scope.includes(target))
    }
}

impl Places {
    /// Places that no service knows of.
    pub fn unknown() -> Self {
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

    /// Each place by its name.
    pub fn reaches(&self) -> Vec<(&'static str, GrantScope)> {
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

    /// Every role that can be held in every place, and who holds nothing.
    pub fn everyone(&self, actor: ActorType) -> Vec<Someone> {
        let mut everyone = vec![Someone::new("nobody", actor, Vec::new())];
        for (place, reach) in self.reaches() {
            let roles = Role::ALL.iter().filter_map(|role| Grant::new(*role, reach.clone()).ok());
            everyone.extend(
                roles.map(|grant| Someone::new(format!("{}-of-{place}", grant.role), actor, vec![grant])),
            );
        }
        everyone
    }

    /// An entity and all that it is under, nearest first.
    pub fn line(&self, entity: &EntityId) -> Vec<EntityId> {
        let above: &[&EntityId] = if *entity == self.child {
            &[&self.entity, &self.parent]
        } else if *entity == self.entity || *entity == self.sibling {
            &[&self.parent]
        } else {
            &[]
        };
        std::iter::once(entity).chain(above.iter().copied()).cloned().collect()
    }
}
