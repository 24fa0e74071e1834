//! Statements of entities. Each takes the connection, then the caller's scope.

use database::{Conn, CounterSource, counter_total};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    TextExpressionMethods,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;
use domain::{
    Cursor, EntityId, Error, Limit, Page, PlatformId, Result, Slug, deployment::FeatureStatus,
    entity::EntityType,
};
use identity::PlatformScope;
use serde::Serialize;

use super::model::{DepthCursor, EntityRow};
use crate::{
    schema::{entities::dsl as e, feature_activations::dsl as a, resources::dsl as r, stacks::dsl as s},
    subtree::{self, List},
    visibility,
};

/// Counter of a platform's entities that are not deleted, of all types or of one.
pub(crate) fn counter(platform: &PlatformId, kind: Option<EntityType>) -> String {
    kind.map_or_else(|| format!("entities:{platform}"), |kind| format!("entities:{platform}:{kind}"))
}

/// Source of [`counter`], with and without a type.
pub(crate) const COUNTER_SOURCE: CounterSource = CounterSource {
    name: "entities",
    sql: "SELECT p.id AS parent, 'entities:' || p.id || coalesce(':' || kind, '') AS key, \
              (SELECT count(*) FROM entities e WHERE e.platform_id = p.id AND e.deleted_at IS NULL \
                   AND (kind IS NULL OR e.type = kind)) AS found \
          FROM (SELECT id FROM platforms WHERE id > $1 ORDER BY id LIMIT $2) p, \
              (VALUES (NULL), ('tenant'), ('subtenant')) AS kinds (kind)",
};

/// Counter of an entity's descendants that are not deleted.
pub(crate) fn counter_below(platform: &PlatformId, entity: &str) -> String {
    format!("entities_under:{platform}:{entity}")
}

/// Source of [`counter_below`].
pub(crate) const COUNTER_SOURCE_BELOW: CounterSource = CounterSource {
    name: "entities under an entity",
    sql: "SELECT e.id AS parent, 'entities_under:' || e.platform_id || ':' || e.id AS key, \
              (SELECT count(*) FROM subtree_members m WHERE m.ancestor_id = e.id AND m.list = 'subtenant' \
                   AND m.member_id <> e.id) AS found \
          FROM (SELECT id, platform_id FROM entities WHERE id > $1 ORDER BY id LIMIT $2) e",
};

fn not_found(id: &EntityId) -> Error {
    Error::not_found("entity", id)
}

/// Returns an entity that is not deleted.
pub(crate) async fn get(mut c: &Conn, scope: &PlatformScope, id: &EntityId) -> Result<EntityRow> {
    e::entities
        .filter(e::platform_id.eq(scope.id()))
        .filter(visibility::entity(scope))
        .filter(e::id.eq(id))
        .filter(e::deleted_at.is_null())
        .select(EntityRow::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Returns the entity with a slug, if it is not deleted.
pub(crate) async fn by_slug(mut c: &Conn, scope: &PlatformScope, slug: &Slug) -> Result<Option<EntityRow>> {
    Ok(e::entities
        .filter(e::platform_id.eq(scope.id()))
        .filter(visibility::entity(scope))
        .filter(e::slug.eq(slug))
        .filter(e::deleted_at.is_null())
        .select(EntityRow::as_select())
        .first(&mut c)
        .await
        .optional()?)
}

/// Locks an entity against deletion until the transaction ends, if it is not deleted already.
pub(crate) async fn lock_shared(
    mut c: &Conn,
    scope: &PlatformScope,
    id: &EntityId,
) -> Result<Option<EntityRow>> {
    Ok(e::entities
        .filter(e::platform_id.eq(scope.id()))
        .filter(visibility::entity(scope))
        .filter(e::id.eq(id))
        .filter(e::deleted_at.is_null())
        .select(EntityRow::as_select())
        .for_key_share()
        .first(&mut c)
        .await
        .optional()?)
}

/// Locks an entity that is not deleted, until the transaction ends. Conflicts with [`lock_shared`].
pub(crate) async fn lock_for_update(mut c: &Conn, scope: &PlatformScope, id: &EntityId) -> Result<EntityRow> {
    e::entities
        .filter(e::platform_id.eq(scope.id()))
        .filter(visibility::entity(scope))
        .filter(e::id.eq(id))
        .filter(e::deleted_at.is_null())
        .select(EntityRow::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Returns a page of a platform's entities that are not deleted, newest first.
pub(crate) async fn page(
    c: &Conn,
    scope: &PlatformScope,
    kind: Option<EntityType>,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<EntityRow>> {
    if let Some(roots) = visibility::subtree_roots(scope) {
        return page_of_subtrees(c, scope, roots, kind, limit, after).await;
    }
    let rows = database::newest!(
        e::entities
            .filter(e::platform_id.eq(scope.id()))
            .filter(e::deleted_at.is_null())
            .select(EntityRow::as_select()),
        e,
        after,
        &after.id,
        limit
    );
    let (mut pipeline, key) = (c, counter(scope.id(), kind));
    // Two statements instead of a composed one, so that both stay prepared.
    let rows = async {
        match kind {
            None => Ok(rows.load(&mut pipeline).await?),
            Some(kind) => Ok(rows.filter(e::kind.eq(kind)).load(&mut pipeline).await?),
        }
    };
    let (rows, total) = tokio::try_join!(rows, counter_total(c, &key))?;
    Ok(Page::new(rows, limit, total, &key, EntityRow::cursor))
}

/// Returns a page of the entities in several subtrees.
async fn page_of_subtrees(
    c: &Conn,
    scope: &PlatformScope,
    roots: &[EntityId],
    kind: Option<EntityType>,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<EntityRow>> {
    let kinds = kind.map_or_else(|| EntityType::ALL.to_vec(), |kind| vec![kind]);
    let rows = |member: subtree::TextMember| {
        e::entities
            .filter(e::id.eq(member))
            .filter(e::platform_id.concat("").eq(scope.id()))
            .filter(e::deleted_at.is_null())
            .select(EntityRow::as_select())
    };
    let rows = subtree::page(roots, List::Entities(&kinds), after, limit, rows);
    // Every descendant of an entity is a subtenant.
    let under = kinds.contains(&EntityType::Subtenant).then(|| counter_below(scope.id(), ""));
    let mut pipeline = c;
    let total = subtree::total(c, roots, under.as_deref(), &kinds);
    let (rows, total) = tokio::try_join!(async { Ok(rows.load(&mut pipeline).await?) }, total)?;
    Ok(Page::new(rows, limit, total, &counter(scope.id(), kind), EntityRow::cursor))
}

/// Returns the ids of an entity and its ancestors, root first. Empty for the id of the platform itself.
pub(crate) async fn path_with_self(mut c: &Conn, id: &EntityId) -> Result<Vec<EntityId>> {
    let path = e::entities.filter(e::id.eq(id)).select(e::path).first::<Vec<EntityId>>(&mut c).await;
    Ok(path
        .optional()?
        .map(|mut path| {
            path.push(id.clone());
            path
        })
        .unwrap_or_default())
}

/// Returns the ancestors of an entity, nearest first.
pub(crate) async fn ancestors(
    mut c: &Conn,
    scope: &PlatformScope,
    entity: &EntityRow,
) -> Result<Vec<EntityRow>> {
    Ok(e::entities
        .filter(e::platform_id.eq(scope.id()))
        .filter(visibility::entity(scope))
        .filter(e::id.eq_any(&entity.path))
        .select(EntityRow::as_select())
        .order(e::depth.desc())
        .load(&mut c)
        .await?)
}

/// Returns at most `limit` descendants that are not deleted, by depth, then oldest first, after a cursor.
pub(crate) async fn descendants(
    mut c: &Conn,
    scope: &PlatformScope,
    id: &EntityId,
    after: &DepthCursor,
    limit: i64,
) -> Result<Vec<EntityRow>> {
    let rows = |member: subtree::TextMember| {
        e::entities
            .filter(e::id.eq(member))
            .filter(e::platform_id.concat("").eq(scope.id()))
            .filter(visibility::entity(scope))
            .filter(e::deleted_at.is_null())
            .select(EntityRow::as_select())
    };
    Ok(subtree::descendants(id, after, limit, rows).load(&mut c).await?)
}

/// Numbers of objects that keep an entity from being deleted.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Dependents {
    pub(crate) entities: i64,
    pub(crate) stacks: i64,
    pub(crate) resources: i64,
    pub(crate) features: i64,
}

/// Counts the dependents of an entity that are not deleted.
pub(crate) async fn dependents(mut c: &Conn, scope: &PlatformScope, id: &EntityId) -> Result<Dependents> {
    let children = e::entities
        .filter(e::platform_id.eq(scope.id()))
        .filter(e::parent_id.eq(id))
        .filter(e::deleted_at.is_null())
        .count()
        .single_value();
    let stacks = s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::tenant_id.eq(id))
        .filter(s::deleted_at.is_null())
        .count()
        .single_value();
    let resources = r::resources
        .filter(r::platform_id.eq(scope.id()))
        .filter(r::entity_id.eq(id))
        .filter(r::deleted_at.is_null())
        .count()
        .single_value();
    let features = a::feature_activations
        .filter(a::platform_id.eq(scope.id()))
        .filter(a::entity_id.eq(id))
        .filter(a::status.eq_any(FeatureStatus::with_resources()))
        .count()
        .single_value();
    let counts: (Option<i64>, Option<i64>, Option<i64>, Option<i64>) =
        diesel::select((children, stacks, resources, features)).get_result(&mut c).await?;
    let (entities, stacks, resources, features) = counts;
    Ok(Dependents {
        entities: entities.unwrap_or_default(),
        stacks: stacks.unwrap_or_default(),
        resources: resources.unwrap_or_default(),
        features: features.unwrap_or_default(),
    })
}

/// Inserts an entity.
pub(crate) fn insert(row: EntityRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(e::entities).values(row)
}

/// Updates an entity that the transaction has locked.
pub(crate) fn update(row: EntityRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id = row.id.clone();
    diesel::update(e::entities.filter(e::id.eq(id))).set(row)
}
