//! What the database is told of a caller, so that row-level security shows them no row of anyone else.

use domain::{EntityId, Grant, GrantScope, PlatformId};
use runtime::fair::FairKey;

/// All platforms, to the policies.
const ALL: &str = "*";

/// What a caller sees, as the settings that the policies read. Two callers with the same sight are the same caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// `nno.platforms`: ids with commas between them, or `*`.
    pub platforms: String,
    /// `nno.entities`: ids with commas between them; each stands for itself and what is under it.
    pub entities: String,
    /// `nno.caller`: the caller's stable name.
    pub caller: String,
    /// The caller's share of connections. All callers of one platform have one tenant's share.
    pub share: FairKey,
}

impl Sight {
    pub(crate) fn of(caller: &str, grants: &[Grant]) -> Self {
        let mut sight = Self {
            platforms: String::new(),
            entities: String::new(),
            caller: caller.to_owned(),
            share: share(caller, grants),
        };
        if grants.iter().any(|grant| grant.scope == GrantScope::All) {
            ALL.clone_into(&mut sight.platforms);
            return sight;
        }
        let (mut platforms, mut entities) = (Vec::new(), Vec::new());
        for grant in grants {
            match &grant.scope {
                GrantScope::All => {}
                GrantScope::Platform(platform) => platforms.push(PlatformId::as_str(platform)),
                GrantScope::Entity(_, entity) => entities.push(EntityId::as_str(entity)),
            }
        }
        sight.platforms = platforms.join(",");
        sight.entities = entities.join(",");
        sight
    }
}

fn share(caller: &str, grants: &[Grant]) -> FairKey {
    let mut platforms = grants.iter().map(|grant| grant.scope.platform());
    let first = platforms.next().flatten();
    match first {
        Some(platform) if platforms.all(|other| other == Some(platform)) => {
            FairKey { group: format!("platform:{platform}").into(), caller: caller.into() }
        }
        _ => FairKey::alone(caller),
    }
}
