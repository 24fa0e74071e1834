//! Decisions whether the caller may perform actions, with the reasons.

use std::{collections::HashMap, sync::Arc};

use domain::{
    EntityId, Error, Fault, Grant, GrantScope, Kind, PlatformId, Result,
    access::{About, AccessDecision, Operation, Target},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use identity::Ctx;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, entities};

/// Maximum number of concurrent requests to the registry.
const MAX_CONCURRENT: usize = 8;

/// Action to check.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Check {
    /// An `operationId`.
    action: String,
    /// Platform to which the action applies. Required for actions on one platform.
    #[schema(value_type = Option<String>, nullable = false)]
    platform_id: Option<PlatformId>,
    /// Entity to which the action applies. Absent for the platform as a whole.
    #[schema(value_type = Option<String>, nullable = false)]
    entity_id: Option<EntityId>,
}

/// Result of a check.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckResult {
    action: String,
    #[schema(value_type = Option<String>, required)]
    platform_id: Option<PlatformId>,
    #[schema(value_type = Option<String>, required)]
    entity_id: Option<EntityId>,
    allowed: bool,
    /// Grant that allows the action, or the missing permission.
    reason: String,
}

/// Check with its operation.
struct ResolvedCheck {
    operation: Arc<Operation>,
    check: Check,
}

/// Operations of all services by `operationId`, which are the actions of checks.
#[derive(Debug, Clone)]
pub(crate) struct Actions(Arc<HashMap<String, Arc<Operation>>>);

impl Actions {
    /// The operations of the committed documents.
    ///
    /// # Errors
    /// Returns an error if a document cannot be read.
    pub(crate) fn of_all_services() -> anyhow::Result<Self> {
        let all = api_documents::all_operations()?.into_iter();
        Ok(Self(Arc::new(all.map(|operation| (operation.id.clone(), Arc::new(operation))).collect())))
    }

    fn find(&self, id: &str) -> Option<Arc<Operation>> {
        self.0.get(Operation::without_alias(id)).cloned()
    }
}

/// Paths of entities: each entity with its ancestors. The path of an entity that does not exist is empty.
type EntityPaths = HashMap<(PlatformId, EntityId), Vec<EntityId>>;

/// Returns the results of the checks, in their order.
///
/// # Errors
/// [`Kind::Validation`] with all invalid checks; [`Kind::ServiceUnavailable`] if a result depends on the registry, which
/// cannot be reached.
pub(crate) async fn check_all(app: &App, ctx: &Ctx, checks: Vec<Check>) -> Result<Vec<CheckResult>> {
    let checks = resolve(app, checks)?;
    let own = ctx.caller.grants();
    let paths = load_paths(app, ctx, &checks).await?;
    Ok(checks.into_iter().map(|check| check.result(own, &paths)).collect())
}

fn resolve(app: &App, checks: Vec<Check>) -> Result<Vec<ResolvedCheck>> {
    let (mut resolved, mut faults) = (Vec::new(), Vec::new());
    for (n, check) in checks.into_iter().enumerate() {
        let mut fault = |field: &str, why: &str| faults.push(Fault::new(format!("checks.{n}.{field}"), why));
        let Some(operation) = app.actions.find(&check.action) else {
            fault("action", "must be the operationId of an operation");
            continue;
        };
        let needs_platform = matches!(operation.about, About::Platform | About::Entity);
        if check.platform_id.is_none() && (needs_platform || check.entity_id.is_some()) {
            fault("platformId", "is required for an action within a platform");
        }
        resolved.push(ResolvedCheck { operation, check });
    }
    if faults.is_empty() { Ok(resolved) } else { Err(Error::validation(faults)) }
}

/// Loads the paths of the entities on which a result depends.
async fn load_paths(app: &App, ctx: &Ctx, checks: &[ResolvedCheck]) -> Result<EntityPaths> {
    let own = ctx.caller.grants();
    let mut entities: Vec<(PlatformId, EntityId)> =
        checks.iter().filter_map(|check| check.entity_to_locate(own)).collect();
    entities.sort_unstable();
    entities.dedup();
    let paths = stream::iter(entities).map(|(platform, entity)| async move {
        let path = match entities::locate(app, ctx, &platform, Some(&entity)).await {
            Err(error) if error.kind() == Kind::NotFound => Ok(Vec::new()),
            result => result.map(|location| location.path),
        };
        Ok(((platform, entity), path?))
    });
    paths.buffer_unordered(MAX_CONCURRENT).try_collect().await
}

impl ResolvedCheck {
    /// The entity of the check, if the result depends on its ancestors. This is the case if the caller has grants only
    /// for other entities of the platform.
    fn entity_to_locate(&self, own: &[Grant]) -> Option<(PlatformId, EntityId)> {
        let (platform, entity) = (self.check.platform_id.as_ref()?, self.check.entity_id.as_ref()?);
        let for_other_entity = |grant: &Grant| matches!(&grant.scope, GrantScope::Entity(covered, root) if covered == platform && root != entity);
        let depends = self.operation.about == About::Entity
            && self.decide(own, std::slice::from_ref(entity)) != AccessDecision::Allowed
            && own.iter().any(for_other_entity);
        depends.then(|| (platform.clone(), entity.clone()))
    }

    fn decide(&self, own: &[Grant], path: &[EntityId]) -> AccessDecision {
        self.operation.decide(own, &self.target(path))
    }

    fn target<'a>(&'a self, path: &'a [EntityId]) -> Target<'a> {
        match (self.operation.about, &self.check.platform_id, &self.check.entity_id) {
            (About::Entity, Some(platform), Some(_)) => Target::Entity(platform, path),
            (About::Entity | About::Platform, Some(platform), _) => Target::Platform(platform),
            _ => Target::Everything,
        }
    }

    fn result(self, own: &[Grant], paths: &EntityPaths) -> CheckResult {
        let key = self.check.platform_id.clone().zip(self.check.entity_id.clone());
        let entity_only: Vec<EntityId> = self.check.entity_id.iter().cloned().collect();
        let path = key.and_then(|key| paths.get(&key)).unwrap_or(&entity_only);
        let decision = self.decide(own, path);
        let reason = self.reason(own, path, decision);
        let Check { action, platform_id, entity_id } = self.check;
        CheckResult { action, platform_id, entity_id, allowed: decision == AccessDecision::Allowed, reason }
    }

    fn reason(&self, own: &[Grant], path: &[EntityId], decision: AccessDecision) -> String {
        let least = self.operation.least;
        let (about, target) = (self.operation.about, self.target(path));
        let within = own.iter().filter(|grant| grant.scope.includes(&target));
        let highest = within.max_by_key(|grant| grant.role);
        match (decision, highest) {
            (AccessDecision::Allowed, _) if about == About::Caller => {
                "Every authenticated caller may perform this action on its own objects.".to_owned()
            }
            (AccessDecision::Allowed, Some(grant)) => {
                format!("You are {} of {}.", grant.role, scope_text(&grant.scope))
            }
            (AccessDecision::Outside, _) | (AccessDecision::Allowed, None) => {
                format!("None of your grants covers {}.", self.target_text())
            }
            (AccessDecision::Forbidden, Some(grant)) => {
                let scope = scope_text(&grant.scope);
                format!("This action requires the role {least}. You are {} of {scope}.", grant.role)
            }
            (AccessDecision::Forbidden, None) => {
                format!(
                    "This action requires the role {least} for all platforms. None of your grants covers them."
                )
            }
        }
    }

    fn target_text(&self) -> String {
        match (self.operation.about, &self.check.platform_id, &self.check.entity_id) {
            (About::Entity, Some(platform), Some(entity)) => {
                format!("entity '{entity}' of platform '{platform}'")
            }
            (_, Some(platform), _) => format!("platform '{platform}' as a whole"),
            _ => "all platforms".to_owned(),
        }
    }
}

fn scope_text(scope: &GrantScope) -> String {
    match scope {
        GrantScope::All => "all platforms".to_owned(),
        GrantScope::Platform(platform) => format!("platform '{platform}'"),
        GrantScope::Entity(platform, entity) => {
            format!("entity '{entity}' of platform '{platform}' and its descendants")
        }
    }
}
