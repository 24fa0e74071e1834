//! HTTP handlers for the caller's identity and permissions.

use actix_web::{HttpResponse, get, post, web::Data};
use domain::{EntityId, Grant, PlatformId, Role, access::Access};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::{Command, Context, HttpResult};

use super::checks::{self, Check, CheckResult};
use crate::App;

/// Grant of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallerGrant {
    role: Role,
    /// Platform of the scope. Null if the scope is all platforms.
    #[schema(value_type = Option<String>, required)]
    platform_id: Option<PlatformId>,
    /// Entity of the scope, with its descendants. Null if the scope is not limited to an entity.
    #[schema(value_type = Option<String>, required)]
    entity_id: Option<EntityId>,
}

impl From<&Grant> for CallerGrant {
    fn from(grant: &Grant) -> Self {
        Self {
            role: grant.role,
            platform_id: grant.scope.platform().cloned(),
            entity_id: grant.scope.entity().cloned(),
        }
    }
}

/// Identity of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Whoami {
    /// Id of the caller, as in audit entries.
    id: String,
    /// `user`, `apikey` or `operator`.
    actor_type: &'static str,
    grants: Vec<CallerGrant>,
}

/// Permissions to check.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CanRequest {
    #[schema(min_items = 1, max_items = 100)]
    checks: Vec<Check>,
}

/// Results of the checks, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CanResponse {
    results: Vec<CheckResult>,
}

/// Return the caller's identity and grants.
#[utoipa::path(
    operation_id = "whoami",
    extensions(("x-access" = json!(Access::Caller))),
    responses((status = 200, body = Whoami)),
)]
#[get("/whoami")]
pub(crate) async fn whoami(ctx: Context) -> HttpResult {
    let caller = &ctx.caller;
    let grants = caller.grants().iter().map(CallerGrant::from).collect();
    let whoami = Whoami { id: caller.id.clone(), actor_type: caller.actor_type.as_str(), grants };
    Ok(HttpResponse::Ok().json(whoami))
}

/// Check which actions the caller may perform, with the reasons. An action is the `operationId` of an operation. The
/// operation changes nothing.
#[utoipa::path(
    operation_id = "can",
    extensions(("x-access" = json!(Access::Caller))),
    request_body(content = CanRequest),
    responses((status = 200, body = CanResponse)),
)]
#[post("/can")]
pub(crate) async fn can(app: Data<App>, command: Command<CanRequest>) -> HttpResult {
    let results = checks::check_all(&app, &command.ctx, command.body.checks).await?;
    Ok(HttpResponse::Ok().json(CanResponse { results }))
}
