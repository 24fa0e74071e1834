//! Versions over HTTP.

use actix_web::{HttpRequest, HttpResponse, delete, get, http::StatusCode, post, web::Data};
use domain::{Slug, Version, access::Access};
use serde_json::Value;
use web::{Command, Context, ErrorEnvelope, HttpResult, NoBody, Path};

use super::{
    model::{PublishVersion, StackVersion},
    ops, rules, store,
    usage::{self as in_use, TemplateUsage},
};
use crate::{
    App,
    answer::{self, Changed, Listed, Made},
    templates,
};

/// List all versions of a stack template by precedence, highest first.
#[utoipa::path(
    operation_id = "listStackVersions",
    extensions(("x-access" = json!(Access::Caller))),
    responses(
    (status = 200, body = Listed<StackVersion>),
    (status = 404, description = "There is no such template", body = ErrorEnvelope),
),
)]
#[get("/stacks/{name}/versions")]
pub(crate) async fn list(app: Data<App>, _: Context, path: Path<Slug>) -> HttpResult {
    let versions = app.db.service_read(async |c| store::all(c, &path.0).await).await?;
    Ok(HttpResponse::Ok().json(Listed::from(versions)))
}

/// Publish a new stack version.
#[utoipa::path(
    operation_id = "publishStackVersion",
    extensions(("x-access" = json!(Access::Everything))),
    request_body(content = PublishVersion),
    responses(
        (status = 201, body = Made),
        (status = 400, description = "The body or its definition is not valid", body = ErrorEnvelope),
        (status = 404, description = "There is no such template", body = ErrorEnvelope),
        (status = 409, description = "The version is published already", body = ErrorEnvelope),
        (status = 422, description = "The template is deprecated", body = ErrorEnvelope),
    ),
)]
#[post("/stacks/{name}/versions")]
pub(crate) async fn publish(app: Data<App>, path: Path<Slug>, command: Command<Value>) -> HttpResult {
    let new = rules::read(&command.body)?;
    let published = ops::publish(&app, &command.ctx, &path.0, new).await?;
    answer::told(published, StatusCode::CREATED, |version| Made { id: version.id })
}

/// Tell how many stacks of how many platforms run each version of a template. For operators.
#[utoipa::path(
    operation_id = "getStackTemplateUsage",
    extensions(("x-access" = json!(Access::Everything))),
    responses(
    (status = 200, body = TemplateUsage),
    (status = 404, description = "There is no such template", body = ErrorEnvelope),
),
)]
#[get("/stacks/{name}/usage")]
pub(crate) async fn usage(app: Data<App>, ctx: Context, path: Path<Slug>) -> HttpResult {
    let template = app.db.read(&ctx, async |c| templates::store::id_of(c, &path.0).await).await?;
    Ok(HttpResponse::Ok().json(in_use::ask(&app.registry, &ctx, template).await?))
}

/// Get a specific stack version.
#[utoipa::path(
    operation_id = "getStackVersion",
    extensions(("x-access" = json!(Access::Caller))),
    responses(
    (status = 200, body = StackVersion),
    (status = 404, description = "There is no such version", body = ErrorEnvelope),
),
)]
#[get("/stacks/{name}/{version}")]
pub(crate) async fn get(
    app: Data<App>,
    _: Context,
    path: Path<(Slug, Version)>,
    request: HttpRequest,
) -> HttpResult {
    let (name, version) = path.0;
    let version = app.db.service_read(async |c| store::get(c, &name, &version).await).await?;
    web::read(&request, &version)
}

/// Deprecate a stack version.
#[utoipa::path(
    operation_id = "deprecateStackVersion",
    extensions(("x-access" = json!(Access::Everything))),
    responses(
    (status = 200, body = Changed),
    (status = 404, description = "There is no such version", body = ErrorEnvelope),
),
)]
#[delete("/stacks/{name}/{version}")]
pub(crate) async fn deprecate(
    app: Data<App>,
    path: Path<(Slug, Version)>,
    command: Command<NoBody>,
) -> HttpResult {
    let (name, version) = path.0;
    let deprecated = ops::deprecate(&app, &command.ctx, &name, &version).await?;
    answer::told(deprecated, StatusCode::OK, |_| Changed::YES)
}
