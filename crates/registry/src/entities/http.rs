//! Entities over HTTP.

use actix_web::{HttpRequest, HttpResponse, delete, get, http::StatusCode, patch, post, web::Data};
use domain::{
    EntityId, Name, PlatformId, Role, Slug,
    access::Access,
    entity::{EntityStatus, EntityType},
};
use identity::Ctx;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use web::{
    Command, Context, HttpResult, ListQuery, NoBody, Paged, Path, Query, Success, Unchecked, WriteResponse,
    chunks::Chunk,
};

use super::{
    model::{DepthCursor, EntityRow, NewEntity},
    ops, store,
    view::Entity,
};
use crate::{App, platforms};

/// Request to create an entity.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateEntity {
    name: Name,
    /// Unique within the platform.
    slug: Slug,
    #[serde(rename = "type")]
    kind: EntityType,
    /// Parent of a subtenant; absent for a tenant.
    parent_id: Option<EntityId>,
}

/// Changes to an entity. Absent fields keep their values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdateEntity {
    #[schema(nullable = false)]
    name: Option<Name>,
    /// `deleted` is the same as DELETE.
    #[schema(nullable = false)]
    status: Option<EntityStatus>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EntityFilter {
    /// Only entities of this type.
    #[serde(rename = "type")]
    kind: Option<EntityType>,
}

/// Descendants per read.
const CHUNK: i64 = 100;

/// Entities on a branch of the tree, without pagination.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntityBranch {
    data: Vec<Entity>,
}

/// List entities for a platform, newest first.
#[utoipa::path(
    operation_id = "listEntities",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(ListQuery, EntityFilter),
    responses((status = 200, body = Paged<Entity>)),
)]
#[get("/platforms/{platformId}/entities")]
pub(crate) async fn list(
    app: Data<App>,
    ctx: Context,
    path: Path<PlatformId>,
    query: Query<ListQuery>,
    filter: Query<EntityFilter>,
) -> HttpResult {
    let scope = path.0;
    let kind = filter.0.kind;
    let (limit, after) = query.0.parse(&store::counter(scope.id(), kind))?;
    let page = app
        .db
        .read(&ctx, async |c| {
            platforms::store::in_existing_platform(c, &scope, store::page(c, &scope, kind, limit, &after))
                .await
        })
        .await?;
    Ok(HttpResponse::Ok().json(Paged::from(page.convert::<Entity>())))
}

/// Create an entity.
///
/// A tenant has no parent. The parent of a subtenant is a tenant or subtenant of the same platform. The tree has at
/// most 16 levels.
#[utoipa::path(
    operation_id = "createEntity",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = CreateEntity),
    responses((status = 201, body = Entity)),
)]
#[post("/platforms/{platformId}/entities")]
pub(crate) async fn create(
    app: Data<App>,
    path: Path<PlatformId>,
    command: Unchecked<CreateEntity>,
) -> HttpResult {
    let reject_tenant = async |_: &Ctx, body: Value| {
        if body.get("type").is_some_and(|kind| kind == "tenant") {
            ops::reject_tenant(&path.0)
        } else {
            Ok(())
        }
    };
    let command = command.check(reject_tenant).await?;
    let CreateEntity { name, slug, kind, parent_id } = command.body;
    ops::create(&app, &command.ctx, &path.0, NewEntity { name, slug, kind, parent_id }).await?.created()
}

/// Get an entity by ID.
#[utoipa::path(
    operation_id = "getEntity",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    responses((status = 200, body = Entity)),
)]
#[get("/platforms/{platformId}/entities/{entityId}")]
pub(crate) async fn get(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, EntityId)>,
    request: HttpRequest,
) -> HttpResult {
    let scope = path.0.0;
    let id = &path.0.1;
    let entity = app
        .db
        .read(&ctx, async |c| {
            platforms::store::in_existing_platform(c, &scope, store::get(c, &scope, id)).await
        })
        .await?;
    web::read(&request, &Entity::from(entity))
}

/// Update an entity.
#[utoipa::path(
    operation_id = "updateEntity",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = UpdateEntity),
    responses((status = 200, body = Entity)),
)]
#[patch("/platforms/{platformId}/entities/{entityId}")]
pub(crate) async fn update(
    app: Data<App>,
    path: Path<(PlatformId, EntityId)>,
    command: Command<UpdateEntity>,
) -> HttpResult {
    let UpdateEntity { name, status } = command.body;
    ops::update(&app, &command.ctx, &path.0.0, &path.0.1, ops::Change { name, status }).await?.ok()
}

/// Soft-delete an entity.
///
/// Rejected with 409 `HAS_DEPENDENTS` while the entity has children, stacks, resources or features. The details have the
/// number of each.
#[utoipa::path(
    operation_id = "deleteEntity",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    responses((status = 200, body = Success)),
)]
#[delete("/platforms/{platformId}/entities/{entityId}")]
pub(crate) async fn delete(
    app: Data<App>,
    path: Path<(PlatformId, EntityId)>,
    command: Command<NoBody>,
) -> HttpResult {
    ops::delete(&app, &command.ctx, &path.0.0, &path.0.1)
        .await?
        .map(|_| Success::YES)
        .without_etag(StatusCode::OK)
}

/// Get the ancestors of an entity, nearest first.
#[utoipa::path(
    operation_id = "getEntityAncestors",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    responses((status = 200, body = EntityBranch)),
)]
#[get("/platforms/{platformId}/entities/{entityId}/ancestors")]
pub(crate) async fn ancestors(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, EntityId)>,
) -> HttpResult {
    let scope = path.0.0;
    let id = &path.0.1;
    let data = app
        .db
        .read(&ctx, async |c| {
            let (_, entity) =
                tokio::try_join!(platforms::store::check_exists(c, &scope), store::get(c, &scope, id))?;
            store::ancestors(c, &scope, &entity).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(EntityBranch { data: data.iter().map(Entity::from).collect() }))
}

/// Get the descendants of an entity, by depth, then oldest first.
#[utoipa::path(
    operation_id = "getEntityDescendants",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer))), ("x-cost" = json!(256))),
    responses((status = 200, body = EntityBranch)),
)]
#[get("/platforms/{platformId}/entities/{entityId}/descendants")]
pub(crate) async fn descendants(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, EntityId)>,
) -> HttpResult {
    let scope = path.0.0;
    let id = path.0.1;
    web::chunks::respond(None, async move |after: Option<DepthCursor>| {
        let is_first = after.is_none();
        let after = after.unwrap_or_else(DepthCursor::start);
        let read = app.db.read(&ctx, async |c| {
            let rows = store::descendants(c, &scope, &id, &after, CHUNK);
            if is_first {
                let found = tokio::try_join!(
                    platforms::store::check_exists(c, &scope),
                    store::get(c, &scope, &id),
                    rows
                );
                return found.map(|(_, _, rows)| rows);
            }
            rows.await
        });
        let rows: Vec<EntityRow> = read.await?;
        let is_full = i64::try_from(rows.len()).is_ok_and(|found| found == CHUNK);
        let next = rows.last().filter(|_| is_full).map(|last| Some(last.depth_cursor()));
        Ok(Chunk { rows: rows.iter().map(Entity::from).collect::<Vec<_>>(), next })
    })
    .await
}
