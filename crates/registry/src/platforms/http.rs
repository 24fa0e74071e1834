//! Platforms over HTTP.

use actix_web::{HttpRequest, HttpResponse, delete, get, http::StatusCode, patch, post, web::Data};
use domain::{
    Name, Patch, PlatformId, Role, Slug,
    access::Access,
    explain::Explanation,
    platform::{PlatformEvent, PlatformStatus, Tier},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use web::{Command, Context, HttpResult, ListQuery, NoBody, Paged, Path, Query, Success, WriteResponse};

use super::{
    explain, lifecycle as events,
    model::{LifecycleEvent, NewPlatform},
    ops, store,
    view::Platform,
};
use crate::App;

/// Request to create a platform.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreatePlatform {
    name: Name,
    slug: Slug,
    #[serde(default = "starter")]
    #[schema(default = "starter")]
    tier: Tier,
    #[schema(nullable = false)]
    cf_account_id: Option<String>,
    #[schema(nullable = false)]
    repo_name: Option<String>,
}

const fn starter() -> Tier {
    Tier::Starter
}

/// Changes to a platform. Absent fields keep their values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdatePlatform {
    #[schema(nullable = false)]
    name: Option<Name>,
    #[schema(nullable = false)]
    tier: Option<Tier>,
    #[schema(nullable = false)]
    status: Option<PatchedStatus>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    cf_account_id: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    repo_name: Patch<String>,
}

/// Status that PATCH accepts. Each maps to a lifecycle event.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PatchedStatus {
    Active,
    Suspended,
    Deleted,
}

impl From<PatchedStatus> for PlatformEvent {
    fn from(status: PatchedStatus) -> Self {
        match status {
            PatchedStatus::Active => Self::Restore,
            PatchedStatus::Suspended => Self::Suspend,
            PatchedStatus::Deleted => Self::Delete,
        }
    }
}

/// Reason for a lifecycle event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    #[schema(nullable = false, max_length = 1024)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct GetQuery {
    /// If true, operators also see a deleted platform.
    include_deleted: Option<bool>,
}

/// List platforms, newest first.
#[utoipa::path(
    operation_id = "listPlatforms",
    extensions(("x-access" = json!(Access::Caller))),
    params(ListQuery),
    responses((status = 200, body = Paged<Platform>)),
)]
#[get("/platforms")]
pub(crate) async fn list(app: Data<App>, ctx: Context, query: Query<ListQuery>) -> HttpResult {
    let (limit, after) = query.0.parse(store::COUNTER)?;
    let scope = &ctx.caller.scope;
    let page = app.db.read(&ctx, async |c| store::page(c, scope, limit, &after).await).await?;
    Ok(HttpResponse::Ok().json(Paged::from(page.convert::<Platform>())))
}

/// Create a new platform.
#[utoipa::path(
    operation_id = "createPlatform",
    extensions(("x-access" = json!(Access::Everything))),
    request_body(content = CreatePlatform),
    responses((status = 201, body = Platform)),
)]
#[post("/platforms")]
pub(crate) async fn create(app: Data<App>, command: Command<CreatePlatform>) -> HttpResult {
    let body = command.body;
    let new = NewPlatform {
        id: None,
        name: body.name,
        slug: body.slug,
        tier: body.tier,
        status: PlatformStatus::Active,
        cf_account_id: body.cf_account_id,
        repo_name: body.repo_name,
        owner_user_id: None,
        limited: false,
    };
    ops::create(&app, &command.ctx, new).await?.created()
}

/// Get a platform by ID.
#[utoipa::path(
    operation_id = "getPlatform",
    extensions(("x-access" = json!(Access::Platform(Role::Viewer)))),
    params(GetQuery),
    responses((status = 200, body = Platform)),
)]
#[get("/platforms/{platformId}")]
pub(crate) async fn get(
    app: Data<App>,
    ctx: Context,
    path: Path<PlatformId>,
    query: Query<GetQuery>,
    request: HttpRequest,
) -> HttpResult {
    let scope = path.0;
    let deleted = query.0.include_deleted.unwrap_or_default() && ctx.caller.is_operator();
    let platform = app.db.read(&ctx, async |c| store::get(c, &scope, deleted).await).await?;
    web::read(&request, &Platform::from(platform))
}

/// Explain why a platform is not active: one sentence and the chain of causes.
#[utoipa::path(
    operation_id = "explainPlatform",
    extensions(("x-access" = json!(Access::Platform(Role::Viewer)))),
    params(GetQuery),
    responses((status = 200, body = Explanation)),
)]
#[get("/platforms/{platformId}/explain")]
pub(crate) async fn get_explanation(
    app: Data<App>,
    ctx: Context,
    path: Path<PlatformId>,
    query: Query<GetQuery>,
) -> HttpResult {
    let deleted = query.0.include_deleted.unwrap_or_default() && ctx.caller.is_operator();
    Ok(HttpResponse::Ok().json(explain::explain_platform(&app, &ctx, &path.0, deleted).await?))
}

/// Update a platform.
#[utoipa::path(
    operation_id = "updatePlatform",
    extensions(("x-access" = json!(Access::Platform(Role::PlatformAdmin)))),
    request_body(content = UpdatePlatform),
    responses((status = 200, body = Platform)),
)]
#[patch("/platforms/{platformId}")]
pub(crate) async fn update(
    app: Data<App>,
    path: Path<PlatformId>,
    command: Command<UpdatePlatform>,
) -> HttpResult {
    let body = command.body;
    let change = ops::Change {
        name: body.name,
        tier: body.tier,
        event: body.status.map(PlatformEvent::from),
        cf_account_id: body.cf_account_id,
        repo_name: body.repo_name,
    };
    ops::update(&app, &command.ctx, &path.0, change).await?.ok()
}

/// Soft-delete a platform.
#[utoipa::path(
    operation_id = "deletePlatform",
    extensions(("x-access" = json!(Access::Platform(Role::Operator)))),
    responses((status = 200, body = Success)),
)]
#[delete("/platforms/{platformId}")]
pub(crate) async fn delete(app: Data<App>, path: Path<PlatformId>, command: Command<NoBody>) -> HttpResult {
    ops::delete(&app, &command.ctx, &path.0).await?.map(|_| Success::YES).without_etag(StatusCode::OK)
}

/// Suspend a platform.
#[utoipa::path(
    operation_id = "suspendPlatform",
    extensions(("x-access" = json!(Access::Platform(Role::PlatformAdmin)))),
    request_body(content = Reason),
    responses((status = 200, body = Platform)),
)]
#[post("/platforms/{platformId}/suspend")]
pub(crate) async fn suspend(app: Data<App>, path: Path<PlatformId>, command: Command<Reason>) -> HttpResult {
    verb(&app, path, command, PlatformEvent::Suspend).await
}

/// Restore a suspended platform.
#[utoipa::path(
    operation_id = "restorePlatform",
    extensions(("x-access" = json!(Access::Platform(Role::PlatformAdmin)))),
    request_body(content = Reason),
    responses((status = 200, body = Platform)),
)]
#[post("/platforms/{platformId}/restore")]
pub(crate) async fn restore(app: Data<App>, path: Path<PlatformId>, command: Command<Reason>) -> HttpResult {
    verb(&app, path, command, PlatformEvent::Restore).await
}

/// Cancel a platform.
#[utoipa::path(
    operation_id = "cancelPlatform",
    extensions(("x-access" = json!(Access::Platform(Role::PlatformAdmin)))),
    request_body(content = Reason),
    responses((status = 200, body = Platform)),
)]
#[post("/platforms/{platformId}/cancel")]
pub(crate) async fn cancel(app: Data<App>, path: Path<PlatformId>, command: Command<Reason>) -> HttpResult {
    verb(&app, path, command, PlatformEvent::Cancel).await
}

async fn verb(
    app: &App,
    path: Path<PlatformId>,
    command: Command<Reason>,
    event: PlatformEvent,
) -> HttpResult {
    ops::transition(app, &command.ctx, &path.0, event, command.body.reason.as_deref()).await?.ok()
}

/// Hard-delete a platform and deprovision.
#[utoipa::path(
    operation_id = "deprovisionPlatform",
    extensions(("x-access" = json!(Access::Platform(Role::PlatformAdmin)))),
    request_body(content = Reason),
    responses((status = 200, body = Platform)),
)]
#[post("/platforms/{platformId}/delete")]
pub(crate) async fn delete_and_deprovision(
    app: Data<App>,
    path: Path<PlatformId>,
    command: Command<Reason>,
) -> HttpResult {
    let reason = command.body.reason.as_deref();
    ops::delete_and_deprovision(&app, &command.ctx, &path.0, reason).await?.ok()
}

/// List lifecycle events for a platform, newest first.
#[utoipa::path(
    operation_id = "listLifecycleEvents",
    extensions(("x-access" = json!(Access::Platform(Role::Viewer)))),
    params(ListQuery),
    responses((status = 200, body = Paged<LifecycleEvent>)),
)]
#[get("/platforms/{platformId}/lifecycle")]
pub(crate) async fn lifecycle(
    app: Data<App>,
    ctx: Context,
    path: Path<PlatformId>,
    query: Query<ListQuery>,
) -> HttpResult {
    let scope = path.0;
    let key = events::counter(scope.id());
    let (limit, after) = query.0.parse(&key)?;
    let page = app
        .db
        .read(&ctx, async |c| {
            store::get(c, &scope, false).await?;
            events::page(c, &scope, limit, &after).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(Paged::from(page)))
}
