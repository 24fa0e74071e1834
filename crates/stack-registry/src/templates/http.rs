//! HTTP handlers of templates.

use actix_web::{HttpRequest, HttpResponse, get, http::StatusCode, patch, post, web::Data};
use domain::{Patch, Slug, access::Access, template::TemplateStatus};
use serde::Deserialize;
use stack_definition::text::{Description, DisplayName, Text};
use utoipa::ToSchema;
use web::{Command, Context, ErrorEnvelope, HttpResult, Path, Query};

use super::{
    filter::TemplateQuery,
    model::{CreateTemplate, Template, TemplateDetail},
    ops, store,
};
use crate::{
    App,
    response::{self, Acknowledged, Created, List},
};

/// Changes of a template.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdateTemplate {
    #[serde(default, deserialize_with = "stack_definition::text::non_null")]
    #[schema(nullable = false)]
    display_name: Option<DisplayName>,
    #[serde(default, deserialize_with = "stack_definition::text::non_null")]
    #[schema(nullable = false)]
    description: Option<Description>,
    /// Null removes the icon.
    #[serde(default)]
    #[schema(value_type = Option<Text<0, 2048>>)]
    icon: Patch<Text<0, 2048>>,
    #[serde(default, deserialize_with = "stack_definition::text::non_null")]
    #[schema(nullable = false)]
    status: Option<TemplateStatus>,
}

impl From<UpdateTemplate> for ops::Change {
    fn from(body: UpdateTemplate) -> Self {
        Self {
            display_name: body.display_name.map(String::from),
            description: body.description.map(String::from),
            icon: match body.icon {
                Patch::Keep => Patch::Keep,
                Patch::Clear => Patch::Clear,
                Patch::Set(icon) => Patch::Set(icon.into()),
            },
            status: body.status,
        }
    }
}

/// List active stack templates, newest first.
#[utoipa::path(
    operation_id = "listStackTemplates",
    extensions(("x-access" = json!(Access::Caller))),
    params(TemplateQuery),
    responses((status = 200, body = List<Template>)),
)]
#[get("/stacks")]
pub(crate) async fn list(app: Data<App>, _: Context, query: Query<TemplateQuery>) -> HttpResult {
    let filter = query.0.parse()?;
    let templates = app.db.service_read(async |c| store::active(c, &filter).await).await?;
    Ok(HttpResponse::Ok().json(List::from(templates)))
}

/// Create a new stack template.
#[utoipa::path(
    operation_id = "createStackTemplate",
    extensions(("x-access" = json!(Access::Everything))),
    request_body(content = CreateTemplate),
    responses(
        (status = 201, body = Created),
        (status = 400, description = "The body is not valid", body = ErrorEnvelope),
        (status = 409, description = "The name is taken", body = ErrorEnvelope),
    ),
)]
#[post("/stacks")]
pub(crate) async fn create(app: Data<App>, command: Command<CreateTemplate>) -> HttpResult {
    let created = ops::create(&app, &command.ctx, command.body).await?;
    response::respond(created, StatusCode::CREATED, |created| Created { id: created.template.id })
}

/// Get a stack template with its latest version.
#[utoipa::path(
    operation_id = "getStackTemplate",
    extensions(("x-access" = json!(Access::Caller))),
    responses(
    (status = 200, body = TemplateDetail),
    (status = 404, description = "There is no such template", body = ErrorEnvelope),
),
)]
#[get("/stacks/{name}")]
pub(crate) async fn get(app: Data<App>, _: Context, path: Path<Slug>, request: HttpRequest) -> HttpResult {
    let detail = app.db.service_read(async |c| store::detail(c, &path.0).await).await?;
    web::read(&request, &detail)
}

/// Update a stack template.
#[utoipa::path(
    operation_id = "updateStackTemplate",
    extensions(("x-access" = json!(Access::Everything))),
    request_body(content = UpdateTemplate),
    responses(
        (status = 200, body = Acknowledged),
        (status = 400, description = "The body is not valid", body = ErrorEnvelope),
        (status = 404, description = "There is no such template", body = ErrorEnvelope),
    ),
)]
#[patch("/stacks/{name}")]
pub(crate) async fn update(app: Data<App>, path: Path<Slug>, command: Command<UpdateTemplate>) -> HttpResult {
    let changed = ops::update(&app, &command.ctx, &path.0, command.body.into()).await?;
    response::respond(changed, StatusCode::OK, |_| Acknowledged::OK)
}
