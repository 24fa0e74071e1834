//! Authorization of grants: which grants a caller can create, see and revoke.

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

/// Grant that the caller can create, with the path of its entity.
#[derive(Debug, Clone)]
pub(crate) struct LocatedGrant {
    pub(crate) grant: Grant,
    /// The entity and its ancestors, nearest first; empty if the scope is not an entity.
    pub(crate) path: Vec<EntityId>,
}

/// Checks that the scope of a grant exists and that the caller can create the grant.
///
/// # Errors
/// [`Kind::NotFound`] if the scope does not exist or lies outside the caller's own scope, without distinguishing the
/// two; [`Kind::Forbidden`] if the grant exceeds the caller's own grants; [`Kind::ServiceUnavailable`] if the registry
/// cannot be reached.
pub(crate) async fn authorize(app: &App, ctx: &Ctx, grant: Grant) -> Result<LocatedGrant> {
    let own = ctx.caller.grants();
    let Location { path, is_suspended } = match grant.scope.platform() {
        None => Location::default(),
        Some(platform) if scope_filter_enabled() && !has_grant_in(own, platform) => {
            return Err(Error::not_found("platform", platform));
        }
        Some(platform) => entities::locate(app, ctx, platform, grant.scope.entity()).await?,
    };
    if !administers(own, &grant, &path) {
        return Err(denial(own, &grant, &path));
    }
    if is_suspended && !ctx.caller.is_operator() {
        let message = "The platform is suspended. Only operators can grant access to it.";
        return Err(Error::new(Kind::PlatformSuspended, message));
    }
    Ok(LocatedGrant { grant, path })
}

/// Rejects a caller who cannot create the grant in a body. The check precedes the report of the body's faults. If the
/// body contains no valid grant, it rejects callers who administer nothing.
pub(crate) async fn authorize_body(app: &App, ctx: &Ctx, body: &Value) -> Result<()> {
    if let Some(grant) = grant_of(body) {
        return match authorize(app, ctx, grant).await {
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Forbidden) => Err(error),
            _ => Ok(()),
        };
    }
    if AdminScope::new(ctx.caller.grants()).is_empty() {
        return Err(needs_admin("Granting access requires the role platform-admin.".to_owned()));
    }
    Ok(())
}

/// The grant in a body, if it is valid.
fn grant_of(body: &Value) -> Option<Grant> {
    let text = |field: &str| body.get(field).filter(|value| !value.is_null());
    let platform = text("platformId").map(PlatformId::deserialize).transpose().ok()?;
    let entity = text("entityId").map(EntityId::deserialize).transpose().ok()?;
    let role = Role::deserialize(text("role")?).ok()?;
    Grant::new(role, GrantScope::new(platform, entity).ok()?).ok()
}

/// Returns true if a caller with the grants `own` can create, see and revoke `grant`.
pub(crate) fn administers(own: &[Grant], grant: &Grant, path: &[EntityId]) -> bool {
    !scope_filter_enabled() || may_grant(own, grant, path)
}

/// Returns true if any of the grants covers the platform or a part of it.
fn has_grant_in(own: &[Grant], platform: &PlatformId) -> bool {
    own.iter().any(|grant| grant.scope.platform().is_none_or(|covered| covered == platform))
}

/// The error for a grant that the caller cannot create.
fn denial(own: &[Grant], grant: &Grant, path: &[EntityId]) -> Error {
    let target = match &grant.scope {
        GrantScope::All => Target::Everything,
        GrantScope::Platform(platform) => Target::Platform(platform),
        GrantScope::Entity(platform, _) => Target::Entity(platform, path),
    };
    let highest = own.iter().filter(|grant| grant.scope.includes(&target)).map(|grant| grant.role).max();
    match (highest, grant.scope.entity()) {
        (None, Some(entity)) => Error::not_found("entity", entity),
        (Some(role), _) if !role.covers(Role::PlatformAdmin) => {
            let message = format!(
                "Granting access requires the role platform-admin. Your role in this scope is {role}."
            );
            needs_admin(message)
        }
        _ => Error::new(Kind::Forbidden, "You cannot grant more access than you have."),
    }
}

fn needs_admin(message: String) -> Error {
    Error::new(Kind::Forbidden, message).with("needs", Role::PlatformAdmin)
}

/// Grants that a caller administers, which are the grants that it can see and revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AdminScope {
    /// Grants of these roles, in any scope.
    Everywhere(Vec<Role>),
    /// Grants within these platforms, and within these entities and their descendants.
    Within { platforms: Vec<PlatformId>, entities: Vec<EntityId> },
}

impl AdminScope {
    /// Returns true if the caller administers nothing.
    fn is_empty(&self) -> bool {
        matches!(self, Self::Within { platforms, entities } if platforms.is_empty() && entities.is_empty())
    }

    /// The grants that a caller with the grants `own` administers.
    pub(crate) fn new(own: &[Grant]) -> Self {
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

    fn grant(role: Role, scope: GrantScope) -> Grant {
        Grant { role, scope }
    }

    #[test]
    fn admin_scope_follows_from_the_callers_grants() {
        let (platform, entity) = (PlatformId::random(), EntityId::random());
        let of = |role| {
            vec![
                grant(role, GrantScope::Platform(platform.clone())),
                grant(role, GrantScope::Entity(platform.clone(), entity.clone())),
            ]
        };
        let nothing = AdminScope::Within { platforms: vec![], entities: vec![] };
        for low in [Role::Viewer, Role::Developer] {
            assert_eq!(AdminScope::new(&of(low)), nothing);
            assert_eq!(AdminScope::new(&[grant(low, GrantScope::All)]), nothing);
        }
        let both = AdminScope::Within { platforms: vec![platform.clone()], entities: vec![entity.clone()] };
        assert_eq!(AdminScope::new(&of(Role::PlatformAdmin)), both);
        let operator = [grant(Role::PlatformAdmin, GrantScope::All), grant(Role::Operator, GrantScope::All)];
        assert_eq!(AdminScope::new(&operator), AdminScope::Everywhere(Role::ALL.to_vec()));
        let admin = AdminScope::new(&operator[..1]);
        assert_eq!(admin, AdminScope::Everywhere(vec![Role::Viewer, Role::Developer, Role::PlatformAdmin]));
    }
}
