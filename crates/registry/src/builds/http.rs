//! Builds over HTTP.

use actix_web::{HttpRequest, HttpResponse, get, patch, web::Data};
use domain::{
    BuildId, HttpUrl, Patch, PlatformId, Role, UnixMillis,
    access::Access,
    build::{BuildStatus, BuildTrigger},
    resource::Environment,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use web::{Command, Context, HttpResult, Path, Query, WriteResponse};

use super::{model::Change, ops, store, view::Build};
use crate::{App, platforms};

/// Changes to a build. Absent fields keep their values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdateBuild {
    #[schema(nullable = false)]
    build_status: Option<BuildStatus>,
    #[schema(nullable = false)]
    triggered_by: Option<BuildTrigger>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    last_commit_sha: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    cf_deployment_id: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "uri", pattern = "^https?://")]
    build_url: Patch<HttpUrl>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    repo_name: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<UnixMillis>)]
    triggered_at: Patch<UnixMillis>,
    /// Must not be before the start.
    #[serde(default)]
    #[schema(value_type = Option<UnixMillis>)]
    completed_at: Patch<UnixMillis>,
}

/// The newest builds, without pagination.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuildList {
    /// Newest first.
    data: Vec<Build>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BuildFilter {
    /// Environment; `prod` if absent.
    env: Option<Environment>,
}

/// List the newest 100 builds for a platform, newest first.
#[utoipa::path(
    operation_id = "listBuilds",
    extensions(("x-access" = json!(Access::Platform(Role::Viewer)))),
    responses((status = 200, body = BuildList)),
)]
#[get("/platforms/{platformId}/builds")]
pub(crate) async fn list(app: Data<App>, ctx: Context, path: Path<PlatformId>) -> HttpResult {
    let scope = path.0;
    let data = app
        .db
        .read(&ctx, async |c| {
            platforms::store::in_existing_platform(c, &scope, store::newest(c, &scope)).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(BuildList { data: data.iter().map(Build::from).collect() }))
}

/// Get the latest build for a platform.
#[utoipa::path(
    operation_id = "getLatestBuild",
    extensions(("x-access" = json!(Access::Platform(Role::Viewer)))),
    params(BuildFilter),
    responses((status = 200, body = Build)),
)]
#[get("/platforms/{platformId}/builds/latest")]
pub(crate) async fn latest(
    app: Data<App>,
    ctx: Context,
    path: Path<PlatformId>,
    filter: Query<BuildFilter>,
    request: HttpRequest,
) -> HttpResult {
    let scope = path.0;
    let environment = filter.0.env.unwrap_or(Environment::Prod);
    let build = app
        .db
        .read(&ctx, async |c| {
            platforms::store::in_existing_platform(c, &scope, store::latest(c, &scope, environment)).await
        })
        .await?;
    web::read(&request, &Build::from(build))
}

/// Update a build state.
///
/// Times are milliseconds since 1970. A build cannot end before its start.
#[utoipa::path(
    operation_id = "updateBuild",
    extensions(("x-access" = json!(Access::Platform(Role::Developer)))),
    request_body(content = UpdateBuild),
    responses((status = 200, body = Build)),
)]
#[patch("/platforms/{platformId}/builds/{buildId}")]
pub(crate) async fn update(
    app: Data<App>,
    path: Path<(PlatformId, BuildId)>,
    command: Command<UpdateBuild>,
) -> HttpResult {
    let ((scope, id), body) = (path.0, command.body);
    let change = Change {
        build_status: body.build_status,
        triggered_by: body.triggered_by,
        last_commit_sha: body.last_commit_sha,
        cf_deployment_id: body.cf_deployment_id,
        build_url: body.build_url,
        repo_name: body.repo_name,
        triggered_at: body.triggered_at.map(UnixMillis::time),
        completed_at: body.completed_at.map(UnixMillis::time),
    };
    ops::update(&app, &command.ctx, &scope, id, change).await?.ok()
}
