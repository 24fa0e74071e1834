//! Bindings over HTTP.

use actix_web::{HttpResponse, delete, get, http::StatusCode, post, web::Data};
use domain::{EntityId, Grant, GrantScope, Name, PlatformId, Role, access::Access};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use web::{Context, HttpResult, ListQuery, NoBody, Paged, Path, Query, Success, Unchecked, WriteResponse};

use super::{
    ops,
    store::{self, Filter},
    view::Binding,
};
use crate::{
    App,
    grants::{self, Administered},
};

/// A new binding.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateBinding {
    /// The person, as their identity provider calls them.
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    subject: Name,
    role: Role,
    /// Absent for a grant that reaches everything.
    #[schema(value_type = Option<String>, nullable = false)]
    platform_id: Option<PlatformId>,
    /// Needs `platformId`. The grant reaches the entity and what is under it.
    #[schema(value_type = Option<String>, nullable = false)]
    entity_id: Option<EntityId>,
}

/// What the list is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct BindingFilter {
    /// Those of one platform and of its entities.
    #[param(value_type = Option<String>)]
    platform_id: Option<PlatformId>,
    /// Those of one person.
    #[param(value_type = Option<String>)]
    subject: Option<Name>,
}

/// List the bindings within what the caller administers, newest first.
#[utoipa::path(
    operation_id = "listBindings",
    extensions(("x-access" = json!(Access::Caller))),
    params(ListQuery, BindingFilter),
    responses((status = 200, body = Paged<Binding>)),
)]
#[get("/bindings")]
pub(crate) async fn list(
    app: Data<App>,
    ctx: Context,
    query: Query<ListQuery>,
    filter: Query<BindingFilter>,
) -> HttpResult {
    let BindingFilter { platform_id, subject } = filter.0;
    let filter = Filter { platform: platform_id, subject };
    let (limit, after) = query.0.parse(&filter.list())?;
    let own = Administered::by(ctx.caller.grants());
    let page = app.db.read(&ctx, async |c| store::page(c, &own, &filter, limit, &after).await).await?;
    Ok(HttpResponse::Ok().json(Paged::from(page.convert::<Binding>())))
}

/// Grant something to a person. Nobody grants more than they hold.
#[utoipa::path(
    operation_id = "createBinding",
    extensions(("x-access" = json!(Access::Caller))),
    request_body(content = CreateBinding),
    responses((status = 201, body = Binding), (status = 404)),
)]
#[post("/bindings")]
pub(crate) async fn create(app: Data<App>, command: Unchecked<CreateBinding>) -> HttpResult {
    let command = command.check(async |ctx, body| grants::decide(&app, ctx, &body).await).await?;
    let CreateBinding { subject, role, platform_id, entity_id } = command.body;
    let grant = Grant::new(role, GrantScope::new(platform_id, entity_id)?)?;
    ops::create(&app, &command.ctx, subject, grant).await?.map(|(binding, _)| binding).created()
}

/// Take a grant of a person back. It works at once.
#[utoipa::path(
    operation_id = "deleteBinding",
    extensions(("x-access" = json!(Access::Caller))),
    responses((status = 200, body = Success)),
)]
#[delete("/bindings/{bindingId}")]
pub(crate) async fn delete(app: Data<App>, path: Path<Uuid>, command: Unchecked<NoBody>) -> HttpResult {
    let command = command.check(async |ctx, _| ops::may_delete(&app, ctx, path.0).await).await?;
    ops::delete(&app, &command.ctx, path.0).await?.map(|_| Success::YES).without_etag(StatusCode::OK)
}
