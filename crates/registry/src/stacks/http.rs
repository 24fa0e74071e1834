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
    explain,
    model::StackRequest,
    ops::{self, Changing, Removed, Upgrade},
    store,
    view::StackView,
};
use crate::{App, platforms};

/// A new stack.
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
    /// Id or name of a template; without one the stack is a custom one and active at once.
    #[schema(nullable = false)]
    template_id: Option<Name>,
    /// What the template's version asks for, by the schema in its definition.
    #[schema(nullable = false, value_type = Option<Object>)]
    inputs: Option<Inputs>,
    #[schema(nullable = false)]
    repo_name: Option<Name>,
}

/// What a stack is to be brought to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpgradeStack {
    /// An active version of the stack's template; also a lower one.
    #[schema(value_type = String, min_length = 1, pattern = r"^\d+\.\d+\.\d+(-[a-zA-Z0-9.]+)?$")]
    version: Version,
    /// What the version asks for; what was filled in last if absent.
    #[schema(nullable = false, value_type = Option<Object>)]
    inputs: Option<Inputs>,
    /// Hash of the plan that was looked at: if it is another by now, nothing is done.
    #[schema(nullable = false)]
    plan_hash: Option<String>,
}

/// How a stack is to go back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RollbackStack {
    /// Hash of the plan that was looked at: if it is another by now, nothing is done.
    #[schema(nullable = false)]
    plan_hash: Option<String>,
}

/// How a stack is to be taken down.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeleteStack {
    /// Whether its data is deleted too.
    #[serde(default)]
    #[schema(default = false)]
    delete_data: bool,
}

/// What is told of a stack that was just made.
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
    /// Stacks of this tenant alone.
    tenant_id: Option<EntityId>,
}

/// A page of stacks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StackPage {
    /// Newest first.
    data: Vec<StackView>,
    /// Where the next page starts, if there is one.
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
            platforms::store::of_live(c, &scope, page).await
        })
        .await?;
    let page = page.convert::<StackView>();
    Ok(HttpResponse::Ok().json(StackPage { data: page.items, cursor: page.next }))
}

/// Create a workspace stack.
///
/// With a template it is made of the template's newest active version: it is `pending`, then `provisioning`, then `active`
/// or `failed`.
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
    let stack = app.db.read(&ctx, async |c| store::of_live(c, &scope, id).await).await?;
    web::read(&request, &StackView::from(&stack))
}

/// Why a workspace stack is not active, in one sentence, and the chain that leads there.
#[utoipa::path(
    operation_id = "explainStack",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    responses((status = 200, body = Explanation)),
)]
#[get("/platforms/{platformId}/stacks/{stackId}/explain")]
pub(crate) async fn explained(app: Data<App>, ctx: Context, path: Path<(PlatformId, StackId)>) -> HttpResult {
    let (scope, id) = path.0;
    Ok(HttpResponse::Ok().json(explain::of(&app, &ctx, &scope, &id).await?))
}

/// Bring a workspace stack to a version of its template.
///
/// It is recorded and answered at once, and done from now on; until it is done, the version before runs and is seen.
/// With `dryRun` it tells the plan.
#[utoipa::path(
    operation_id = "upgradeStack",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = UpgradeStack),
    responses((status = 202, body = Changing)),
)]
#[post("/platforms/{platformId}/stacks/{stackId}/upgrade")]
pub(crate) async fn upgrade(
    app: Data<App>,
    path: Path<(PlatformId, StackId)>,
    command: Command<UpgradeStack>,
) -> HttpResult {
    let ((scope, id), UpgradeStack { version, inputs, plan_hash }) = (path.0, command.body);
    let asked = Upgrade { version, inputs, plan_hash };
    ops::upgrade(&app, &command.ctx, &scope, &id, asked).await?.without_etag(StatusCode::ACCEPTED)
}

/// Bring a workspace stack back to the version before its last upgrade.
#[utoipa::path(
    operation_id = "rollbackStack",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = RollbackStack),
    responses((status = 202, body = Changing)),
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

/// Delete a workspace stack and take down what there is of it.
///
/// Its data is kept unless `deleteData` says otherwise.
#[utoipa::path(
    operation_id = "deleteStack",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = DeleteStack),
    responses((status = 202, body = Removed)),
)]
#[delete("/platforms/{platformId}/stacks/{stackId}")]
pub(crate) async fn remove(
    app: Data<App>,
    path: Path<(PlatformId, StackId)>,
    command: Command<DeleteStack>,
) -> HttpResult {
    let ((scope, id), DeleteStack { delete_data }) = (path.0, command.body);
    ops::remove(&app, &command.ctx, &scope, &id, delete_data).await?.without_etag(StatusCode::ACCEPTED)
}
