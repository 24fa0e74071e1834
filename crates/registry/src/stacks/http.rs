//! Stacks over HTTP.

use actix_web::{HttpRequest, HttpResponse, get, http::StatusCode, post, web::Data};
use chrono::{DateTime, Utc};
use domain::{EntityId, Name, PlatformId, StackId, stack::StackStatus};
use kit::{
    Ctx, clock,
    http::{self, Answer, Command, HttpResult, ListQuery, Path, Query},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    model::{NewStack, Stack},
    ops, store,
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
    #[schema(nullable = false)]
    repo_name: Option<Name>,
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

impl From<Stack> for CreatedStack {
    fn from(stack: Stack) -> Self {
        let Stack { id, name, status, is_default, created_at, .. } = stack;
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
    data: Vec<Stack>,
    /// Where the next page starts, if there is one.
    #[schema(required)]
    cursor: Option<String>,
}

/// List workspace stacks for a platform, newest first.
#[utoipa::path(operation_id = "listStacks", params(ListQuery, StackFilter), responses((status = 200, body = StackPage)))]
#[get("/platforms/{platformId}/stacks")]
pub(crate) async fn list(
    app: Data<App>,
    ctx: Ctx,
    path: Path<PlatformId>,
    query: Query<ListQuery>,
    filter: Query<StackFilter>,
) -> HttpResult {
    let scope = ctx.caller.scope.platform(&path.0)?;
    let tenant = filter.0.tenant_id.as_ref();
    let (limit, after) = query.0.parse(&store::list(&path.0, tenant))?;
    let page = app
        .db
        .read(async |c| {
            let c = &*c;
            let page = store::page(c, &scope, tenant, limit, &after);
            tokio::try_join!(platforms::store::live(c, &scope), page).map(|(_, page)| page)
        })
        .await?;
    Ok(HttpResponse::Ok().json(StackPage { data: page.items, cursor: page.next }))
}

/// Create a workspace stack.
///
/// With a template it is made of the template's newest active version, and `pending` until it is activated.
#[utoipa::path(operation_id = "createStack", request_body(content = CreateStack), responses((status = 201, body = CreatedStack)))]
#[post("/platforms/{platformId}/stacks")]
pub(crate) async fn create(
    app: Data<App>,
    path: Path<PlatformId>,
    command: Command<CreateStack>,
) -> HttpResult {
    let CreateStack { tenant_id, name, is_default, template_id, repo_name } = command.body;
    let new = NewStack { tenant_id, name, is_default, template: template_id, repo_name };
    ops::create(&app, &command.ctx, &path.0, new).await?.map(CreatedStack::from).told(StatusCode::CREATED)
}

/// Get a workspace stack by ID.
#[utoipa::path(operation_id = "getStack", responses((status = 200, body = Stack)))]
#[get("/platforms/{platformId}/stacks/{stackId}")]
pub(crate) async fn get(
    app: Data<App>,
    ctx: Ctx,
    path: Path<(PlatformId, StackId)>,
    request: HttpRequest,
) -> HttpResult {
    let scope = ctx.caller.scope.platform(&path.0.0)?;
    let id = &path.0.1;
    let stack = app
        .db
        .read(async |c| {
            let c = &*c;
            tokio::try_join!(platforms::store::live(c, &scope), store::get(c, &scope, id))
                .map(|(_, stack)| stack)
        })
        .await?;
    http::read(&request, &stack)
}
