//! Resources over HTTP.

use actix_web::{HttpRequest, HttpResponse, delete, get, http::StatusCode, patch, post, web::Data};
use database::Conn;
use domain::{
    EntityId, Error, HttpUrl, Name, Patch, PlatformId, ResourceId, ResourceName, Result, Role, StackId,
    access::Access,
    ownership::PlatformResourceName,
    resource::{Environment, ResourceStatus, ResourceType},
};
use identity::{Ctx, PlatformScope};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use web::{Command, Context, HttpResult, ListQuery, NoBody, Paged, Path, Query, Success, WriteResponse};

use super::{
    model::{Change, NewResource, Resource},
    ops, store,
};
use crate::{App, entities, platforms};

/// Request to register a resource.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RegisterResource {
    /// A stack of the platform, or `default`.
    stack_id: StackId,
    resource_type: ResourceType,
    service_name: Name,
    environment: Environment,
    /// Unique among the resources that are not deleted. A name that begins with ten characters of `a-z0-9` and a `-`
    /// must begin with the platform's id.
    cf_name: ResourceName,
    #[schema(nullable = false)]
    cf_id: Option<String>,
    #[schema(value_type = Option<String>, nullable = false, format = "uri", pattern = "^https?://")]
    cf_url: Option<HttpUrl>,
    #[schema(nullable = false)]
    provision_job_id: Option<String>,
    #[schema(value_type = Option<Object>)]
    config: Option<Map<String, Value>>,
}

/// Changes to a resource. Absent fields keep their values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdateResource {
    /// `deleted` is the same as DELETE, and final.
    #[schema(nullable = false)]
    status: Option<ResourceStatus>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    cf_id: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "uri", pattern = "^https?://")]
    cf_url: Patch<HttpUrl>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    config: Patch<Map<String, Value>>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    provision_job_id: Patch<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct DeletedQuery {
    /// If true, operators also see the resources of a deleted platform.
    include_deleted: Option<bool>,
}

impl DeletedQuery {
    /// Returns true if the caller asked for deleted platforms and may see them.
    fn applies_to(&self, ctx: &Ctx) -> bool {
        self.include_deleted.unwrap_or_default() && ctx.caller.is_operator()
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct LookupQuery {
    /// Name of the resource. Required: a request without it gets 400.
    #[param(nullable = false)]
    cf_name: Option<Name>,
}

/// Look up a resource by CF name, across all platforms visible to the caller.
#[utoipa::path(
    operation_id = "lookupResource",
    extensions(("x-access" = json!(Access::Caller))),
    params(LookupQuery),
    responses((status = 200, body = Resource), (status = 404)),
)]
#[get("/lookup")]
pub(crate) async fn lookup(
    app: Data<App>,
    ctx: Context,
    query: Query<LookupQuery>,
    request: HttpRequest,
) -> HttpResult {
    let name = query.0.cf_name.ok_or_else(|| Error::invalid("cfName", "is required"))?;
    let scope = &ctx.caller.scope;
    let found = app.db.read(&ctx, async |c| store::lookup(c, scope, &name).await).await?;
    web::read(&request, &found.ok_or_else(|| Error::not_found("resource", &name))?)
}

/// List resources for a platform, newest first.
#[utoipa::path(
    operation_id = "listResources",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(ListQuery, DeletedQuery),
    responses((status = 200, body = Paged<Resource>)),
)]
#[get("/platforms/{platformId}/resources")]
pub(crate) async fn list(
    app: Data<App>,
    ctx: Context,
    path: Path<PlatformId>,
    query: Query<ListQuery>,
    deleted: Query<DeletedQuery>,
) -> HttpResult {
    let scope = path.0;
    page(&app, &ctx, &scope, Owner::Platform { deleted: deleted.0.applies_to(&ctx) }, &query.0).await
}

/// List resources for an entity, newest first.
///
/// The platform's own id as the entity selects the resources of the platform itself.
#[utoipa::path(
    operation_id = "listEntityResources",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(ListQuery),
    responses((status = 200, body = Paged<Resource>)),
)]
#[get("/platforms/{platformId}/entities/{entityId}/resources")]
pub(crate) async fn list_of_entity(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, EntityId)>,
    query: Query<ListQuery>,
) -> HttpResult {
    let scope = path.0.0;
    page(&app, &ctx, &scope, Owner::Entity(&path.0.1), &query.0).await
}

/// Owner of a list of resources.
#[derive(Clone, Copy)]
enum Owner<'a> {
    /// A platform. With `deleted`, also a deleted one.
    Platform { deleted: bool },
    /// An entity, or the platform itself by its own id.
    Entity(&'a EntityId),
}

async fn page(
    app: &App,
    ctx: &Ctx,
    scope: &PlatformScope,
    owner: Owner<'_>,
    query: &ListQuery,
) -> HttpResult {
    let entity = match owner {
        Owner::Platform { .. } => None,
        Owner::Entity(entity) => Some(entity),
    };
    let (limit, after) = query.parse(&store::counter(scope.id(), entity))?;
    let page = app
        .db
        .read(ctx, async |c| {
            let page = store::page(c, scope, entity, limit, &after);
            tokio::try_join!(check_owner(c, scope, owner), page).map(|((), page)| page)
        })
        .await?;
    Ok(HttpResponse::Ok().json(Paged::from(page)))
}

async fn check_owner(c: &Conn, scope: &PlatformScope, owner: Owner<'_>) -> Result<()> {
    if let Owner::Platform { deleted: true } = owner {
        return platforms::store::get(c, scope, true).await.map(drop);
    }
    platforms::store::check_exists(c, scope).await?;
    match owner {
        Owner::Entity(entity) if !ops::is_whole_platform(scope, entity) => {
            entities::store::get(c, scope, entity).await.map(drop)
        }
        _ => Ok(()),
    }
}

/// Register a resource.
///
/// The platform's own id as the entity registers a resource of the platform itself.
#[utoipa::path(
    operation_id = "registerResource",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = RegisterResource),
    responses((status = 201, body = Resource)),
)]
#[post("/platforms/{platformId}/entities/{entityId}/resources")]
pub(crate) async fn register(
    app: Data<App>,
    path: Path<(PlatformId, EntityId)>,
    command: Command<RegisterResource>,
) -> HttpResult {
    let ((scope, entity_id), body) = (path.0, command.body);
    let cf_name = PlatformResourceName::new(body.cf_name, scope.id())
        .map_err(|reason| Error::invalid("cfName", reason));
    let new = cf_name.map(|cf_name| NewResource {
        entity_id,
        stack_id: body.stack_id,
        resource_type: body.resource_type,
        service_name: body.service_name,
        environment: body.environment,
        cf_name,
        cf_id: body.cf_id,
        cf_url: body.cf_url,
        status: ResourceStatus::Pending,
        provision_job_id: body.provision_job_id,
        config: body.config,
    });
    ops::register(&app, &command.ctx, &scope, new).await?.created()
}

/// Get a resource by ID.
#[utoipa::path(
    operation_id = "getResource",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(DeletedQuery),
    responses((status = 200, body = Resource)),
)]
#[get("/platforms/{platformId}/resources/{resourceId}")]
pub(crate) async fn get(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, ResourceId)>,
    deleted: Query<DeletedQuery>,
    request: HttpRequest,
) -> HttpResult {
    let (scope, id) = path.0;
    let owner = Owner::Platform { deleted: deleted.0.applies_to(&ctx) };
    let resource = app
        .db
        .read(&ctx, async |c| {
            let found = store::get(c, &scope, id);
            tokio::try_join!(check_owner(c, &scope, owner), found).map(|((), found)| found)
        })
        .await?;
    web::read(&request, &resource)
}

/// Update a resource.
#[utoipa::path(
    operation_id = "updateResource",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = UpdateResource),
    responses((status = 200, body = Resource)),
)]
#[patch("/platforms/{platformId}/resources/{resourceId}")]
pub(crate) async fn update(
    app: Data<App>,
    path: Path<(PlatformId, ResourceId)>,
    command: Command<UpdateResource>,
) -> HttpResult {
    let ((scope, id), body) = (path.0, command.body);
    let change = Change {
        status: body.status,
        cf_id: body.cf_id,
        cf_url: body.cf_url,
        config: body.config.map(Value::Object),
        provision_job_id: body.provision_job_id,
    };
    ops::update(&app, &command.ctx, &scope, id, change).await?.ok()
}

/// Soft-delete a resource.
#[utoipa::path(
    operation_id = "deleteResource",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    params(DeletedQuery),
    responses((status = 200, body = Success)),
)]
#[delete("/platforms/{platformId}/resources/{resourceId}")]
pub(crate) async fn delete(
    app: Data<App>,
    path: Path<(PlatformId, ResourceId)>,
    deleted: Query<DeletedQuery>,
    command: Command<NoBody>,
) -> HttpResult {
    let (scope, id) = path.0;
    let include_deleted = deleted.0.applies_to(&command.ctx);
    ops::delete(&app, &command.ctx, &scope, id, include_deleted)
        .await?
        .map(|_| Success::YES)
        .without_etag(StatusCode::OK)
}
