//! HTTP handlers of bindings.

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
    grants::{self, AdminScope},
};

/// New binding.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateBinding {
    /// Subject of the user at the identity provider.
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    subject: Name,
    role: Role,
    /// Platform of the scope. Absent for all platforms.
    #[schema(value_type = Option<String>, nullable = false)]
    platform_id: Option<PlatformId>,
    /// Entity of the scope, with its descendants. Requires `platformId`.
    #[schema(value_type = Option<String>, nullable = false)]
    entity_id: Option<EntityId>,
}

/// Filter of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct BindingFilter {
    /// Bindings within one platform, including its entities.
    #[param(value_type = Option<String>)]
    platform_id: Option<PlatformId>,
    /// Bindings of one user.
    #[param(value_type = Option<String>)]
    subject: Option<Name>,
}

/// List the bindings that the caller administers, newest first.
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
    let own = AdminScope::new(ctx.caller.grants());
    let page = app.db.read(&ctx, async |c| store::page(c, &own, &filter, limit, &after).await).await?;
    Ok(HttpResponse::Ok().json(Paged::from(page.convert::<Binding>())))
}

/// Grant a role to a user. The grant cannot exceed the caller's own grants.
#[utoipa::path(
    operation_id = "createBinding",
    extensions(("x-access" = json!(Access::Caller))),
    request_body(content = CreateBinding),
    responses((status = 201, body = Binding), (status = 404)),
)]
#[post("/bindings")]
pub(crate) async fn create(app: Data<App>, command: Unchecked<CreateBinding>) -> HttpResult {
    let command = command.check(async |ctx, body| grants::authorize_body(&app, ctx, &body).await).await?;
    let CreateBinding { subject, role, platform_id, entity_id } = command.body;
    let grant = Grant::new(role, GrantScope::new(platform_id, entity_id)?)?;
    ops::create(&app, &command.ctx, subject, grant).await?.map(|(binding, _)| binding).created()
}

/// Revoke a role of a user. The change takes effect at once.
#[utoipa::path(
    operation_id = "deleteBinding",
    extensions(("x-access" = json!(Access::Caller))),
    responses((status = 200, body = Success)),
)]
#[delete("/bindings/{bindingId}")]
pub(crate) async fn delete(app: Data<App>, path: Path<Uuid>, command: Unchecked<NoBody>) -> HttpResult {
    let command = command.check(async |ctx, _| ops::check_access(&app, ctx, path.0).await).await?;
    ops::delete(&app, &command.ctx, path.0).await?.map(|_| Success::YES).without_etag(StatusCode::OK)
}
