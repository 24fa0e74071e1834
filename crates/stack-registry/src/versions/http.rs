//! HTTP handlers of versions.

use actix_web::{HttpRequest, HttpResponse, delete, get, http::StatusCode, post, web::Data};
use domain::{Slug, Version, access::Access};
use serde_json::Value;
use web::{Command, Context, ErrorEnvelope, HttpResult, NoBody, Path};

use super::{
    model::{PublishVersion, StackVersion},
    ops, rules, store,
    usage::{self as template_usage, TemplateUsage},
};
use crate::{
    App,
    response::{self, Acknowledged, Created, List},
    templates,
};

/// List all versions of a stack template by precedence, highest first.
#[utoipa::path(
    operation_id = "listStackVersions",
    extensions(("x-access" = json!(Access::Caller))),
    responses(
    (status = 200, body = List<StackVersion>),
    (status = 404, description = "There is no such template", body = ErrorEnvelope),
),
)]
#[get("/stacks/{name}/versions")]
pub(crate) async fn list(app: Data<App>, _: Context, path: Path<Slug>) -> HttpResult {
    let versions = app.db.service_read(async |c| store::all(c, &path.0).await).await?;
    Ok(HttpResponse::Ok().json(List::from(versions)))
}

/// Publish a new stack version.
#[utoipa::path(
    operation_id = "publishStackVersion",
    extensions(("x-access" = json!(Access::Everything))),
    request_body(content = PublishVersion),
    responses(
        (status = 201, body = Created),
        (status = 400, description = "The body or its definition is not valid", body = ErrorEnvelope),
        (status = 404, description = "There is no such template", body = ErrorEnvelope),
        (status = 409, description = "The version is published already", body = ErrorEnvelope),
        (status = 422, description = "The template is deprecated", body = ErrorEnvelope),
    ),
)]
#[post("/stacks/{name}/versions")]
pub(crate) async fn publish(app: Data<App>, path: Path<Slug>, command: Command<Value>) -> HttpResult {
    let new = rules::parse(&command.body)?;
    let published = ops::publish(&app, &command.ctx, &path.0, new).await?;
    response::respond(published, StatusCode::CREATED, |version| Created { id: version.id })
}

/// Return the number of stacks and platforms that run each version of a template. Only operators may call this
/// operation.
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
    Ok(HttpResponse::Ok().json(template_usage::load(&app.registry, &ctx, template).await?))
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
    (status = 200, body = Acknowledged),
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
    response::respond(deprecated, StatusCode::OK, |_| Acknowledged::OK)
}
