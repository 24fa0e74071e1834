//! Whether the caller may do something, and why.

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

/// How many places the registry is asked for at a time.
const AT_ONCE: usize = 8;

/// One question.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Check {
    /// An `operationId`.
    action: String,
    /// What it is done to; what is about one platform needs it.
    #[schema(value_type = Option<String>, nullable = false)]
    platform_id: Option<PlatformId>,
    /// Absent for the platform as a whole.
    #[schema(value_type = Option<String>, nullable = false)]
    entity_id: Option<EntityId>,
}

/// Its answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Checked {
    action: String,
    #[schema(value_type = Option<String>, required)]
    platform_id: Option<PlatformId>,
    #[schema(value_type = Option<String>, required)]
    entity_id: Option<EntityId>,
    allowed: bool,
    /// The grant that allows it, or what is missing.
    reason: String,
}

/// A question whose action is known.
struct Asked {
    operation: Arc<Operation>,
    check: Check,
}

/// The operations of all services by `operationId`: the actions that a check may name.
#[derive(Debug, Clone)]
pub(crate) struct Actions(Arc<HashMap<String, Arc<Operation>>>);

impl Actions {
    /// Those of the committed documents.
    ///
    /// # Errors
    /// When a document cannot be read.
    pub(crate) fn of_all_services() -> anyhow::Result<Self> {
        let all = api_documents::all_operations()?.into_iter();
        Ok(Self(Arc::new(all.map(|operation| (operation.id.clone(), Arc::new(operation))).collect())))
    }

    fn find(&self, id: &str) -> Option<Arc<Operation>> {
        self.0.get(Operation::without_alias(id)).cloned()
    }
}

/// Entities by where they are, each with all that it is under; nothing for one that is not there.
type Lines = HashMap<(PlatformId, EntityId), Vec<EntityId>>;

/// Answers the checks, in their order.
///
/// # Errors
/// [`Kind::Validation`] with all checks that cannot be answered; [`Kind::ServiceUnavailable`] when the registry is
/// needed and cannot be asked.
pub(crate) async fn answer(app: &App, ctx: &Ctx, checks: Vec<Check>) -> Result<Vec<Checked>> {
    let asked = read(app, checks)?;
    let own = ctx.caller.grants();
    let lines = lines(app, ctx, &asked).await?;
    Ok(asked.into_iter().map(|asked| asked.decide(own, &lines)).collect())
}

fn read(app: &App, checks: Vec<Check>) -> Result<Vec<Asked>> {
    let (mut asked, mut faults) = (Vec::new(), Vec::new());
    for (n, check) in checks.into_iter().enumerate() {
        let mut fault = |field: &str, why: &str| faults.push(Fault::new(format!("checks.{n}.{field}"), why));
        let Some(operation) = app.actions.find(&check.action) else {
            fault("action", "must be the operationId of an operation");
            continue;
        };
        let about_a_platform = matches!(operation.about, About::Platform | About::Entity);
        if check.platform_id.is_none() && (about_a_platform || check.entity_id.is_some()) {
            fault("platformId", "is required: the action is about what is in a platform");
        }
        asked.push(Asked { operation, check });
    }
    if faults.is_empty() { Ok(asked) } else { Err(Error::validation(faults)) }
}

/// Where the entities stand whose place decides: those in platforms of which the caller holds but entities.
async fn lines(app: &App, ctx: &Ctx, asked: &[Asked]) -> Result<Lines> {
    let own = ctx.caller.grants();
    let mut wanted: Vec<(PlatformId, EntityId)> =
        asked.iter().filter_map(|asked| asked.place_that_decides(own)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let found = stream::iter(wanted).map(|(platform, entity)| async move {
        let line = match entities::locate(app, ctx, &platform, Some(&entity)).await {
            Err(error) if error.kind() == Kind::NotFound => Ok(Vec::new()),
            result => result.map(|location| location.line),
        };
        Ok(((platform, entity), line?))
    });
    found.buffer_unordered(AT_ONCE).try_collect().await
}

impl Asked {
    /// The entity that it is about, if the answer depends on what that is under.
    fn place_that_decides(&self, own: &[Grant]) -> Option<(PlatformId, EntityId)> {
        let (platform, entity) = (self.check.platform_id.as_ref()?, self.check.entity_id.as_ref()?);
        let of_an_entity = |grant: &Grant| matches!(&grant.scope, GrantScope::Entity(reached, root) if reached == platform && root != entity);
        let decides = self.operation.about == About::Entity
            && self.verdict(own, std::slice::from_ref(entity)) != AccessDecision::Allowed
            && own.iter().any(of_an_entity);
        decides.then(|| (platform.clone(), entity.clone()))
    }

    fn verdict(&self, own: &[Grant], line: &[EntityId]) -> AccessDecision {
        self.operation.decide(own, &self.target(line))
    }

    fn target<'a>(&'a self, line: &'a [EntityId]) -> Target<'a> {
        match (self.operation.about, &self.check.platform_id, &self.check.entity_id) {
            (About::Entity, Some(platform), Some(_)) => Target::Entity(platform, line),
            (About::Entity | About::Platform, Some(platform), _) => Target::Platform(platform),
            _ => Target::Everything,
        }
    }

    fn decide(self, own: &[Grant], lines: &Lines) -> Checked {
        let place = self.check.platform_id.clone().zip(self.check.entity_id.clone());
        let itself: Vec<EntityId> = self.check.entity_id.iter().cloned().collect();
        let line = place.and_then(|place| lines.get(&place)).unwrap_or(&itself);
        let verdict = self.verdict(own, line);
        let reason = self.reason(own, line, verdict);
        let Check { action, platform_id, entity_id } = self.check;
        Checked { action, platform_id, entity_id, allowed: verdict == AccessDecision::Allowed, reason }
    }

    fn reason(&self, own: &[Grant], line: &[EntityId], verdict: AccessDecision) -> String {
        let least = self.operation.least;
        let (about, target) = (self.operation.about, self.target(line));
        let within = own.iter().filter(|grant| grant.scope.includes(&target));
        let highest = within.max_by_key(|grant| grant.role);
        match (verdict, highest) {
            (AccessDecision::Allowed, _) if about == About::Caller => {
                "Whoever is known may do this, with what is theirs.".to_owned()
            }
            (AccessDecision::Allowed, Some(grant)) => {
                format!("You are {} of {}.", grant.role, words(&grant.scope))
            }
            (AccessDecision::Outside, _) | (AccessDecision::Allowed, None) => {
                format!("None of your grants reaches {}.", self.place_in_words())
            }
            (AccessDecision::Forbidden, Some(grant)) => {
                format!("This needs the role {least}, and you are {} of {}.", grant.role, words(&grant.scope))
            }
            (AccessDecision::Forbidden, None) => {
                format!(
                    "This needs the role {least} of all platforms, and no grant of yours reaches them all."
                )
            }
        }
    }

    fn place_in_words(&self) -> String {
        match (self.operation.about, &self.check.platform_id, &self.check.entity_id) {
            (About::Entity, Some(platform), Some(entity)) => {
                format!("entity '{entity}' of platform '{platform}'")
            }
            (_, Some(platform), _) => format!("platform '{platform}' as a whole"),
            _ => "all platforms".to_owned(),
        }
    }
}

fn words(reach: &GrantScope) -> String {
    match reach {
        GrantScope::All => "all platforms".to_owned(),
        GrantScope::Platform(platform) => format!("platform '{platform}'"),
        GrantScope::Entity(platform, entity) => {
            format!("entity '{entity}' of platform '{platform}' and what is under it")
        }
    }
}
