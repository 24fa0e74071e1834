//! Who may grant what, and whose grants they may see and take back.

use domain::{
    EntityId, Error, Grant, GrantScope, Kind, PlatformId, Result, Role,
    access::{Target, may_grant},
};
use identity::{Ctx, scope_filter_enabled};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    App,
    entities::{self, Location},
};

/// A grant that may be made, and where its entity stands.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) grant: Grant,
    /// The entity and all that it is under, if the grant is of one.
    pub(crate) line: Vec<EntityId>,
}

/// Finds out whether the caller may grant this, and whether what it reaches is there at all.
///
/// # Errors
/// [`Kind::NotFound`] for what is not there or lies outside of what the caller reaches: the two are not told apart;
/// [`Kind::Forbidden`] for what is more than the caller holds; [`Kind::ServiceUnavailable`] when the registry cannot be
/// asked.
pub(crate) async fn permit(app: &App, ctx: &Ctx, grant: Grant) -> Result<Placed> {
    let own = ctx.caller.grants();
    let Location { line, suspended } = match grant.scope.platform() {
        None => Location::default(),
        Some(platform) if scope_filter_enabled() && !touches(own, platform) => {
            return Err(Error::not_found("platform", platform));
        }
        Some(platform) => entities::locate(app, ctx, platform, grant.scope.entity()).await?,
    };
    if !administers(own, &grant, &line) {
        return Err(refusal(own, &grant, &line));
    }
    if suspended && !ctx.caller.is_operator() {
        let message = "The platform is suspended; only operators may grant access to it";
        return Err(Error::new(Kind::PlatformSuspended, message));
    }
    Ok(Placed { grant, line })
}

/// Refuses, before the faults of a body are reported, a caller who may not grant what the body names. Of a body that
/// names nothing, callers who administer nothing are refused.
pub(crate) async fn decide(app: &App, ctx: &Ctx, body: &Value) -> Result<()> {
    if let Some(grant) = grant_of(body) {
        return match permit(app, ctx, grant).await {
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Forbidden) => Err(error),
            _ => Ok(()),
        };
    }
    if Administered::by(ctx.caller.grants()).is_nothing() {
        return Err(needs_admin("Without a role of platform-admin nothing can be granted".to_owned()));
    }
    Ok(())
}

/// The grant that a body names, if it can be read.
fn grant_of(body: &Value) -> Option<Grant> {
    let text = |field: &str| body.get(field).filter(|value| !value.is_null());
    let platform = text("platformId").map(PlatformId::deserialize).transpose().ok()?;
    let entity = text("entityId").map(EntityId::deserialize).transpose().ok()?;
    let role = Role::deserialize(text("role")?).ok()?;
    Grant::new(role, GrantScope::new(platform, entity).ok()?).ok()
}

/// Whether who holds `own` may make such a grant, and so also see it and take it back.
pub(crate) fn administers(own: &[Grant], grant: &Grant, line: &[EntityId]) -> bool {
    !scope_filter_enabled() || may_grant(own, grant, line)
}

/// Whether any of the grants reaches something in a platform.
fn touches(own: &[Grant], platform: &PlatformId) -> bool {
    own.iter().any(|grant| grant.scope.platform().is_none_or(|reached| reached == platform))
}

/// Why a grant may not be made.
fn refusal(own: &[Grant], wanted: &Grant, line: &[EntityId]) -> Error {
    let target = match &wanted.scope {
        GrantScope::All => Target::Everything,
        GrantScope::Platform(platform) => Target::Platform(platform),
        GrantScope::Entity(platform, _) => Target::Entity(platform, line),
    };
    let highest = own.iter().filter(|grant| grant.scope.includes(&target)).map(|grant| grant.role).max();
    match (highest, wanted.scope.entity()) {
        (None, Some(entity)) => Error::not_found("entity", entity),
        (Some(role), _) if !role.covers(Role::PlatformAdmin) => {
            needs_admin(format!("A {role} here grants nothing: that needs platform-admin"))
        }
        _ => Error::new(Kind::Forbidden, "Nobody grants more than they hold"),
    }
}

fn needs_admin(message: String) -> Error {
    Error::new(Kind::Forbidden, message).with("needs", Role::PlatformAdmin)
}

/// What a caller administers: whose grants they see and may take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Administered {
    /// Whatever it reaches, what has one of these roles.
    Everywhere(Vec<Role>),
    /// What reaches no further than these platforms, and these entities with what is under them.
    Within { platforms: Vec<PlatformId>, entities: Vec<EntityId> },
}

impl Administered {
    /// Whether it is nothing at all.
    fn is_nothing(&self) -> bool {
        matches!(self, Self::Within { platforms, entities } if platforms.is_empty() && entities.is_empty())
    }

    /// What follows from a caller's grants.
    pub(crate) fn by(own: &[Grant]) -> Self {
        if !scope_filter_enabled() {
            return Self::Everywhere(Role::ALL.to_vec());
        }
        let administers = |grant: &&Grant| grant.role.covers(Role::PlatformAdmin);
        let everywhere = own
            .iter()
            .filter(administers)
            .filter(|grant| grant.scope == GrantScope::All)
            .map(|grant| grant.role);
        if let Some(highest) = everywhere.max() {
            let roles = Role::ALL.iter().copied().filter(|role| highest.covers(*role));
            return Self::Everywhere(roles.collect());
        }
        let (mut platforms, mut entities) = (Vec::new(), Vec::new());
        for grant in own.iter().filter(administers) {
            match &grant.scope {
                GrantScope::All => {}
                GrantScope::Platform(platform) => platforms.push(platform.clone()),
                GrantScope::Entity(_, entity) => entities.push(entity.clone()),
            }
        }
        Self::Within { platforms, entities }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, reach: GrantScope) -> Grant {
        Grant { role, scope: reach }
    }

    #[test]
    fn what_is_administered_follows_from_what_is_held() {
        let (platform, entity) = (PlatformId::random(), EntityId::random());
        let of = |role| {
            vec![
                grant(role, GrantScope::Platform(platform.clone())),
                grant(role, GrantScope::Entity(platform.clone(), entity.clone())),
            ]
        };
        let nothing = Administered::Within { platforms: vec![], entities: vec![] };
        for low in [Role::Viewer, Role::Developer] {
            assert_eq!(Administered::by(&of(low)), nothing);
            assert_eq!(Administered::by(&[grant(low, GrantScope::All)]), nothing);
        }
        let both = Administered::Within { platforms: vec![platform.clone()], entities: vec![entity.clone()] };
        assert_eq!(Administered::by(&of(Role::PlatformAdmin)), both);
        let operator = [grant(Role::PlatformAdmin, GrantScope::All), grant(Role::Operator, GrantScope::All)];
        assert_eq!(Administered::by(&operator), Administered::Everywhere(Role::ALL.to_vec()));
        let admin = Administered::by(&operator[..1]);
        assert_eq!(admin, Administered::Everywhere(vec![Role::Viewer, Role::Developer, Role::PlatformAdmin]));
    }
}
