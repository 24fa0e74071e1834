//! Statements of resources. Each takes the connection, then the caller's scope.

use database::{Conn, CounterSource, counter_total};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    TextExpressionMethods,
    dsl::exists,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, EntityId, Error, Limit, Name, Page, PlatformId, ResourceId, ResourceName, Result};
use identity::{PlatformScope, Scope};

use super::model::Resource;
use crate::{
    schema::{platforms::dsl as p, resources::dsl as r},
    subtree::{self, List},
    visibility,
};

/// Counter of a platform's resources that are not deleted, of all entities or of one.
pub(crate) fn counter(platform: &PlatformId, entity: Option<&EntityId>) -> String {
    entity.map_or_else(|| format!("resources:{platform}"), |entity| format!("resources:{platform}:{entity}"))
}

/// Source of [`counter`] for platforms. The id of a platform as an entity covers the resources of the platform itself.
pub(crate) const COUNTER_SOURCE: CounterSource = CounterSource {
    name: "resources",
    sql: "SELECT p.id AS parent, 'resources:' || p.id || coalesce(':' || entity, '') AS key, \
              (SELECT count(*) FROM resources r WHERE r.platform_id = p.id AND r.deleted_at IS NULL \
                   AND (entity IS NULL OR r.entity_id = entity)) AS found \
          FROM (SELECT id FROM platforms WHERE id > $1 ORDER BY id LIMIT $2) p, \
              LATERAL (VALUES (NULL), (p.id)) AS owners (entity)",
};

/// Source of [`counter`] for entities.
pub(crate) const COUNTER_SOURCE_OF_ENTITY: CounterSource = CounterSource {
    name: "resources of an entity",
    sql: "SELECT e.id AS parent, 'resources:' || e.platform_id || ':' || e.id AS key, \
              (SELECT count(*) FROM resources r WHERE r.platform_id = e.platform_id AND r.deleted_at IS NULL \
                   AND r.entity_id = e.id) AS found \
          FROM (SELECT id, platform_id FROM entities WHERE id > $1 ORDER BY id LIMIT $2) e",
};

/// Counter of the resources of an entity and its descendants that are not deleted.
pub(crate) fn counter_below(platform: &PlatformId, entity: &str) -> String {
    format!("resources_under:{platform}:{entity}")
}

/// Source of [`counter_below`].
pub(crate) const COUNTER_SOURCE_BELOW: CounterSource = CounterSource {
    name: "resources under an entity",
    sql: "SELECT e.id AS parent, 'resources_under:' || e.platform_id || ':' || e.id AS key, \
              (SELECT count(*) FROM subtree_members m WHERE m.ancestor_id = e.id AND m.list = 'resource') AS found \
          FROM (SELECT id, platform_id FROM entities WHERE id > $1 ORDER BY id LIMIT $2) e",
};

fn not_found(id: ResourceId) -> Error {
    Error::not_found("resource", id)
}

/// Returns a resource that is not deleted.
pub(crate) async fn get(mut c: &Conn, scope: &PlatformScope, id: ResourceId) -> Result<Resource> {
    r::resources
        .filter(r::platform_id.eq(scope.id()))
        .filter(visibility::via_entity(scope, r::entity_id))
        .filter(r::id.eq(id))
        .filter(r::deleted_at.is_null())
        .select(Resource::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Returns the resource with a name, on any platform in the caller's scope, if neither of them is deleted.
pub(crate) async fn lookup(mut c: &Conn, scope: &Scope, name: &Name) -> Result<Option<Resource>> {
    let named = r::resources
        .filter(r::cf_name.eq(name))
        .filter(r::deleted_at.is_null())
        .select(Resource::as_select());
    let live = exists(p::platforms.filter(p::id.eq(r::platform_id)).filter(p::deleted_at.is_null()));
    Ok(match scope.only_platforms() {
        None => named.filter(live).first(&mut c).await.optional()?,
        Some(granted) => {
            let roots = scope.only_entities().into_iter().cloned().collect();
            let visible =
                r::platform_id.eq_any(granted).and(live).or(visibility::in_subtrees(r::entity_id, roots));
            named.filter(visible).first(&mut c).await.optional()?
        }
    })
}

/// Locks the resource with a name, on any platform, until the transaction ends, if it is not deleted.
pub(crate) async fn lock_by_name(mut c: &Conn, _: &Scope, name: &ResourceName) -> Result<Option<Resource>> {
    Ok(r::resources
        .filter(r::cf_name.eq(name))
        .filter(r::deleted_at.is_null())
        .select(Resource::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?)
}

/// Locks a resource that is not deleted, until the transaction ends. Conflicts with [`crate::parents::lock_resource`].
pub(crate) async fn lock_for_update(mut c: &Conn, scope: &PlatformScope, id: ResourceId) -> Result<Resource> {
    r::resources
        .filter(r::platform_id.eq(scope.id()))
        .filter(visibility::via_entity(scope, r::entity_id))
        .filter(r::id.eq(id))
        .filter(r::deleted_at.is_null())
        .select(Resource::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Returns all resources of a platform that are not deleted, oldest first.
pub(crate) async fn all(mut c: &Conn, scope: &PlatformScope) -> Result<Vec<Resource>> {
    Ok(r::resources
        .filter(r::platform_id.eq(scope.id()))
        .filter(r::deleted_at.is_null())
        .select(Resource::as_select())
        .order((r::created_at, r::id))
        .load(&mut c)
        .await?)
}

/// Returns a page of a platform's resources that are not deleted, of all entities or of one, newest first.
pub(crate) async fn page(
    c: &Conn,
    scope: &PlatformScope,
    entity: Option<&EntityId>,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<Resource>> {
    let last = ResourceId::parse(&after.id).unwrap_or(ResourceId::MAX);
    let live = r::resources.filter(r::deleted_at.is_null());
    let rows = database::newest!(live.select(Resource::as_select()), r, after, last, limit);
    let (mut pipeline, key) = (c, counter(scope.id(), entity));
    let rows = async {
        match (visibility::subtree_roots(scope), entity) {
            (Some(roots), None) => {
                let row = |member: subtree::UuidMember| {
                    live.filter(r::id.eq(member))
                        .filter(r::platform_id.concat("").eq(scope.id()))
                        .select(Resource::as_select())
                };
                Ok(subtree::page(roots, List::Resources, after, limit, row).load(&mut pipeline).await?)
            }
            (None, None) => Ok(rows.filter(r::platform_id.eq(scope.id())).load(&mut pipeline).await?),
            (_, Some(entity)) => {
                // Not plain equality: with outdated statistics, the planner would read the whole platform.
                let rows = rows
                    .filter(r::platform_id.concat("").eq(scope.id()))
                    .filter(r::entity_id.eq(entity))
                    .filter(visibility::via_entity(scope, r::entity_id));
                Ok(rows.load(&mut pipeline).await?)
            }
        }
    };
    let total = async {
        match (visibility::subtree_roots(scope), entity) {
            (Some(roots), None) => subtree::total(c, roots, Some(&counter_below(scope.id(), "")), &[]).await,
            _ => counter_total(c, &key).await,
        }
    };
    let (rows, total) = tokio::try_join!(rows, total)?;
    Ok(Page::new(rows, limit, total, &key, Resource::cursor))
}

/// Inserts a resource.
pub(crate) fn insert(row: Resource) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(r::resources).values(row)
}

/// Updates a resource that the transaction has locked.
pub(crate) fn update(row: Resource) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id = row.id;
    diesel::update(r::resources.filter(r::id.eq(id))).set(row)
}
