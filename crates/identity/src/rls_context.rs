//! The session settings by which row-level security limits a caller to their own rows.

use domain::{EntityId, Grant, GrantScope, PlatformId};
use runtime::fair::FairKey;

/// The value of `nno.platforms` that stands for all platforms.
const ALL: &str = "*";

/// A caller's visible rows, as the settings that the database policies read. Equal contexts show the same rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RlsContext {
    /// `nno.platforms`: comma-separated ids, or `*`.
    pub platforms: String,
    /// `nno.entities`: comma-separated ids; each includes the entity's descendants.
    pub entities: String,
    /// `nno.caller`: the caller's stable name.
    pub caller: String,
    /// The key for the fair sharing of connections. All callers of one platform share one tenant's part.
    pub fairness_key: FairKey,
}

impl RlsContext {
    pub(crate) fn new(caller: &str, grants: &[Grant]) -> Self {
        let mut context = Self {
            platforms: String::new(),
            entities: String::new(),
            caller: caller.to_owned(),
            fairness_key: fairness_key(caller, grants),
        };
        if grants.iter().any(|grant| grant.scope == GrantScope::All) {
            ALL.clone_into(&mut context.platforms);
            return context;
        }
        let (mut platforms, mut entities) = (Vec::new(), Vec::new());
        for grant in grants {
            match &grant.scope {
                GrantScope::All => {}
                GrantScope::Platform(platform) => platforms.push(PlatformId::as_str(platform)),
                GrantScope::Entity(_, entity) => entities.push(EntityId::as_str(entity)),
            }
        }
        context.platforms = platforms.join(",");
        context.entities = entities.join(",");
        context
    }
}

fn fairness_key(caller: &str, grants: &[Grant]) -> FairKey {
    let mut platforms = grants.iter().map(|grant| grant.scope.platform());
    let first = platforms.next().flatten();
    match first {
        Some(platform) if platforms.all(|other| other == Some(platform)) => {
            FairKey { group: format!("platform:{platform}").into(), caller: caller.into() }
        }
        _ => FairKey::alone(caller),
    }
}
