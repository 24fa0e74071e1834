//! ${Words} over HTTP.

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web::Data};
use domain::{Name, Patch, PlatformId, Role, access::Access};
use serde::Deserialize;
use utoipa::ToSchema;
use web::{Context, Command, HttpResult, ListQuery, NoBody, Paged, Path, Query, WriteResponse};

use super::{
    model::{Change, New${Singular}, ${Singular}, ${Singular}Id},
    ops, store,
};
use crate::{App, platforms};

impl web::PathPart for ${Singular}Id {}

/// Request to create a ${word}.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create${Singular} {
    /// Unique within the platform.
    title: Name,
    #[schema(nullable = false)]
    body: Option<Name>,
}

/// Changes to a ${word}. Absent fields keep their values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update${Singular} {
    #[schema(nullable = false)]
    title: Option<Name>,
    /// Null removes the body.
    #[serde(default)]
    #[schema(value_type = Option<Name>)]
    body: Patch<Name>,
}

/// List the ${words} of a platform, newest first.
#[utoipa::path(
    operation_id = "list${Plural}",
    extensions(("x-access" = json!(Access::Platform(Role::Viewer)))),
    params(ListQuery),
    responses((status = 200, body = Paged<${Singular}>)),
)]
#[get("/platforms/{platformId}/${path}")]
pub(crate) async fn list(
    app: Data<App>,
    ctx: Context,
    path: Path<PlatformId>,
    query: Query<ListQuery>,
) -> HttpResult {
    let scope = path.0;
    let (limit, after) = query.0.parse(&store::counter(scope.id()))?;
    let page = app
        .db
        .read(&ctx, async |c| {
            let page = store::page(c, &scope, limit, &after);
            tokio::try_join!(platforms::store::check_exists(c, &scope), page).map(|((), page)| page)
        })
        .await?;
    Ok(HttpResponse::Ok().json(Paged::from(page)))
}

/// Create a ${word}.
#[utoipa::path(
    operation_id = "create${Singular}",
    extensions(("x-access" = json!(Access::Platform(Role::Developer)))),
    request_body(content = Create${Singular}),
    responses((status = 201, body = ${Singular})),
)]
#[post("/platforms/{platformId}/${path}")]
pub(crate) async fn create(
    app: Data<App>,
    path: Path<PlatformId>,
    command: Command<Create${Singular}>,
) -> HttpResult {
    let Create${Singular} { title, body } = command.body;
    ops::create(&app, &command.ctx, &path.0, New${Singular} { title, body }).await?.created()
}

/// Get a ${word}.
#[utoipa::path(
    operation_id = "get${Singular}",
    extensions(("x-access" = json!(Access::Platform(Role::Viewer)))),
    responses((status = 200, body = ${Singular})),
)]
#[get("/platforms/{platformId}/${path}/{${camel}Id}")]
pub(crate) async fn get(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, ${Singular}Id)>,
    request: HttpRequest,
) -> HttpResult {
    let (scope, id) = path.0;
    let row = app
        .db
        .read(&ctx, async |c| {
            let found = tokio::try_join!(platforms::store::check_exists(c, &scope), store::get(c, &scope, id));
            found.map(|((), row)| row)
        })
        .await?;
    web::read(&request, &row)
}

/// Update a ${word}.
#[utoipa::path(
    operation_id = "update${Singular}",
    extensions(("x-access" = json!(Access::Platform(Role::Developer)))),
    request_body(content = Update${Singular}),
    responses((status = 200, body = ${Singular})),
)]
#[patch("/platforms/{platformId}/${path}/{${camel}Id}")]
pub(crate) async fn update(
    app: Data<App>,
    path: Path<(PlatformId, ${Singular}Id)>,
    command: Command<Update${Singular}>,
) -> HttpResult {
    let Update${Singular} { title, body } = command.body;
    ops::update(&app, &command.ctx, &path.0.0, path.0.1, Change { title, body }).await?.ok()
}

/// Delete a ${word}.
#[utoipa::path(
    operation_id = "delete${Singular}",
    extensions(("x-access" = json!(Access::Platform(Role::Developer)))),
    responses((status = 204)),
)]
#[delete("/platforms/{platformId}/${path}/{${camel}Id}")]
pub(crate) async fn delete(
    app: Data<App>,
    path: Path<(PlatformId, ${Singular}Id)>,
    command: Command<NoBody>,
) -> HttpResult {
    Ok(ops::delete(&app, &command.ctx, &path.0.0, path.0.1).await?.no_content())
}
