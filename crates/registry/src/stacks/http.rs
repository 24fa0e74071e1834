//! Stacks over HTTP.

use actix_web::{HttpRequest, HttpResponse, delete, get, http::StatusCode, post, web::Data};
use chrono::{DateTime, Utc};
use domain::{
    EntityId, Name, PlatformId, Role, StackId, Version,
    access::Access,
    deployment::{Inputs, StackStatus},
    explain::Explanation,
};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use web::{Command, Context, HttpResult, ListQuery, Path, Query, WriteResponse};

use super::{
    deletion::{self, StackDeletion},
    explain,
    model::StackRequest,
    ops::{self, StackChange, Upgrade},
    store,
    view::StackView,
};
use crate::{App, platforms};

/// Request to create a stack.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateStack {
    /// An entity of the platform.
    tenant_id: EntityId,
    /// Unique within the tenant.
    name: Name,
    /// A tenant has at most one default.
    #[serde(default)]
    #[schema(default = false)]
    is_default: bool,
    /// Id or name of a template. Without it, the stack is a custom stack and active at once.
    #[schema(nullable = false)]
    template_id: Option<Name>,
    /// Values for the inputs that the template's definition declares.
    #[schema(nullable = false, value_type = Option<Object>)]
    inputs: Option<Inputs>,
    #[schema(nullable = false)]
    repo_name: Option<Name>,
}

/// Request to change the version of a stack.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpgradeStack {
    /// An active version of the stack's template, higher or lower than the current one.
    #[schema(value_type = String, min_length = 1, pattern = r"^\d+\.\d+\.\d+(-[a-zA-Z0-9.]+)?$")]
    version: Version,
    /// Inputs for the version. If absent, the stack keeps its inputs.
    #[schema(nullable = false, value_type = Option<Object>)]
    inputs: Option<Inputs>,
    /// Hash of the reviewed plan. The request is rejected if the plan has changed since.
    #[schema(nullable = false)]
    plan_hash: Option<String>,
}

/// Request to roll a stack back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RollbackStack {
    /// Hash of the reviewed plan. The request is rejected if the plan has changed since.
    #[schema(nullable = false)]
    plan_hash: Option<String>,
}

/// Request to delete a stack.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeleteStack {
    /// If true, the data of the stack is deleted too.
    #[serde(default)]
    #[schema(default = false)]
    delete_data: bool,
}

/// Response to a request that creates a stack.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedStack {
    id: StackId,
    name: Name,
    status: StackStatus,
    is_default: bool,
    #[serde(with = "clock::rfc3339")]
    created_at: DateTime<Utc>,
}

impl From<StackView> for CreatedStack {
    fn from(stack: StackView) -> Self {
        let StackView { id, name, status, is_default, created_at, .. } = stack;
        Self { id, name, status, is_default, created_at }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct StackFilter {
    /// Only stacks of this tenant.
    tenant_id: Option<EntityId>,
}

/// A page of stacks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StackPage {
    /// Newest first.
    data: Vec<StackView>,
    /// Cursor of the next page, if there is one.
    #[schema(required)]
    cursor: Option<String>,
}

/// List workspace stacks for a platform, newest first.
#[utoipa::path(
    operation_id = "listStacks",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(ListQuery, StackFilter),
    responses((status = 200, body = StackPage)),
)]
#[get("/platforms/{platformId}/stacks")]
pub(crate) async fn list(
    app: Data<App>,
    ctx: Context,
    path: Path<PlatformId>,
    query: Query<ListQuery>,
    filter: Query<StackFilter>,
) -> HttpResult {
    let scope = path.0;
    let tenant = filter.0.tenant_id.as_ref();
    let (limit, after) = query.0.parse(&store::list(scope.id(), tenant))?;
    let page = app
        .db
        .read(&ctx, async |c| {
            let page = store::page(c, &scope, tenant, limit, &after);
            platforms::store::in_existing_platform(c, &scope, page).await
        })
        .await?;
    let page = page.convert::<StackView>();
    Ok(HttpResponse::Ok().json(StackPage { data: page.items, cursor: page.next }))
}

/// Create a workspace stack.
///
/// With a template, the stack gets the template's newest active version. It is `pending`, then `provisioning`, then
/// `active` or `failed`.
#[utoipa::path(
    operation_id = "createStack",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = CreateStack),
    responses((status = 201, body = CreatedStack)),
)]
#[post("/platforms/{platformId}/stacks")]
pub(crate) async fn create(
    app: Data<App>,
    path: Path<PlatformId>,
    command: Command<CreateStack>,
) -> HttpResult {
    let CreateStack { tenant_id, name, is_default, template_id, inputs, repo_name } = command.body;
    let new = StackRequest { tenant_id, name, is_default, template: template_id, inputs, repo_name };
    ops::create(&app, &command.ctx, &path.0, new)
        .await?
        .map(CreatedStack::from)
        .without_etag(StatusCode::CREATED)
}

/// Get a workspace stack by ID.
#[utoipa::path(
    operation_id = "getStack",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    responses((status = 200, body = StackView)),
)]
#[get("/platforms/{platformId}/stacks/{stackId}")]
pub(crate) async fn get(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, StackId)>,
    request: HttpRequest,
) -> HttpResult {
    let scope = path.0.0;
    let id = &path.0.1;
    let stack = app.db.read(&ctx, async |c| store::get_existing(c, &scope, id).await).await?;
    web::read(&request, &StackView::from(stack))
}

/// Explain why a workspace stack is not active: one sentence and the chain of causes.
#[utoipa::path(
    operation_id = "explainStack",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    responses((status = 200, body = Explanation)),
)]
#[get("/platforms/{platformId}/stacks/{stackId}/explain")]
pub(crate) async fn get_explanation(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, StackId)>,
) -> HttpResult {
    let (scope, id) = path.0;
    Ok(HttpResponse::Ok().json(explain::explain_stack(&app, &ctx, &scope, &id).await?))
}

/// Change the version of a workspace stack.
///
/// The request is accepted at once and completed in the background; until then, the stack runs the previous version.
/// With `dryRun`, it only returns the plan.
#[utoipa::path(
    operation_id = "upgradeStack",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = UpgradeStack),
    responses((status = 202, body = StackChange)),
)]
#[post("/platforms/{platformId}/stacks/{stackId}/upgrade")]
pub(crate) async fn upgrade(
    app: Data<App>,
    path: Path<(PlatformId, StackId)>,
    command: Command<UpgradeStack>,
) -> HttpResult {
    let ((scope, id), UpgradeStack { version, inputs, plan_hash }) = (path.0, command.body);
    let request = Upgrade { version, inputs, plan_hash };
    ops::upgrade(&app, &command.ctx, &scope, &id, request).await?.without_etag(StatusCode::ACCEPTED)
}

/// Roll a workspace stack back to the version before its last upgrade.
#[utoipa::path(
    operation_id = "rollbackStack",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = RollbackStack),
    responses((status = 202, body = StackChange)),
)]
#[post("/platforms/{platformId}/stacks/{stackId}/rollback")]
pub(crate) async fn rollback(
    app: Data<App>,
    path: Path<(PlatformId, StackId)>,
    command: Command<RollbackStack>,
) -> HttpResult {
    let ((scope, id), hash) = (path.0, command.body.plan_hash);
    ops::rollback(&app, &command.ctx, &scope, &id, hash.as_deref()).await?.without_etag(StatusCode::ACCEPTED)
}

/// Delete a workspace stack and remove its infrastructure.
///
/// Its data is kept unless `deleteData` is true.
#[utoipa::path(
    operation_id = "deleteStack",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = DeleteStack),
    responses((status = 202, body = StackDeletion)),
)]
#[delete("/platforms/{platformId}/stacks/{stackId}")]
pub(crate) async fn remove(
    app: Data<App>,
    path: Path<(PlatformId, StackId)>,
    command: Command<DeleteStack>,
) -> HttpResult {
    let ((scope, id), DeleteStack { delete_data }) = (path.0, command.body);
    deletion::remove(&app, &command.ctx, &scope, &id, delete_data).await?.without_etag(StatusCode::ACCEPTED)
}
