//! Questions about the caller, over HTTP.

use actix_web::{HttpResponse, get, post, web::Data};
use domain::{EntityId, Grant, PlatformId, Role, access::Access};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::{Command, Context, HttpResult};

use super::checks::{self, Check, Checked};
use crate::App;

/// A role, and how far it reaches.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeldGrant {
    role: Role,
    /// With `entityId` null: the whole platform. Both null: everything.
    #[schema(value_type = Option<String>, required)]
    platform_id: Option<PlatformId>,
    /// The entity, with what is under it.
    #[schema(value_type = Option<String>, required)]
    entity_id: Option<EntityId>,
}

impl From<&Grant> for HeldGrant {
    fn from(grant: &Grant) -> Self {
        Self {
            role: grant.role,
            platform_id: grant.scope.platform().cloned(),
            entity_id: grant.scope.entity().cloned(),
        }
    }
}

/// Who calls.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Whoami {
    /// As audit logs name them.
    id: String,
    /// user, apikey or operator.
    actor_type: &'static str,
    grants: Vec<HeldGrant>,
}

/// What is to be found out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Can {
    #[schema(min_items = 1, max_items = 100)]
    checks: Vec<Check>,
}

/// What was found out, in the order in which it was asked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answered {
    results: Vec<Checked>,
}

/// Who the caller is, and what they hold.
#[utoipa::path(
    operation_id = "whoami",
    extensions(("x-access" = json!(Access::Caller))),
    responses((status = 200, body = Whoami)),
)]
#[get("/whoami")]
pub(crate) async fn whoami(ctx: Context) -> HttpResult {
    let caller = &ctx.caller;
    let grants = caller.grants().iter().map(HeldGrant::from).collect();
    let told = Whoami { id: caller.id.clone(), actor_type: caller.actor_type.as_str(), grants };
    Ok(HttpResponse::Ok().json(told))
}

/// Find out what the caller may do, and why. An action is the `operationId` of an operation. Nothing is changed.
#[utoipa::path(
    operation_id = "can",
    extensions(("x-access" = json!(Access::Caller))),
    request_body(content = Can),
    responses((status = 200, body = Answered)),
)]
#[post("/can")]
pub(crate) async fn can(app: Data<App>, command: Command<Can>) -> HttpResult {
    let results = checks::answer(&app, &command.ctx, command.body.checks).await?;
    Ok(HttpResponse::Ok().json(Answered { results }))
}
