//! The statements of entities. Each takes the caller's scope first.

use database::{Conn, Tally, counter_total};
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
    reach,
    schema::{entities::dsl as e, feature_activations::dsl as a, resources::dsl as r, stacks::dsl as s},
    subtree::{self, List},
};

/// Counter of the live entities of a platform, all or of one type.
pub(crate) fn counter(platform: &PlatformId, kind: Option<EntityType>) -> String {
    kind.map_or_else(|| format!("entities:{platform}"), |kind| format!("entities:{platform}:{kind}"))
}

/// The recount of [`counter`], with and without a type.
pub(crate) const TALLY: Tally = Tally {
    name: "entities",
    sql: "SELECT p.id AS parent, 'entities:' || p.id || coalesce(':' || kind, '') AS key, \
              (SELECT count(*) FROM entities e WHERE e.platform_id = p.id AND e.deleted_at IS NULL \
                   AND (kind IS NULL OR e.type = kind)) AS found \
          FROM (SELECT id FROM platforms WHERE id > $1 ORDER BY id LIMIT $2) p, \
              (VALUES (NULL), ('tenant'), ('subtenant')) AS kinds (kind)",
};

/// Counter of the live entities under one.
pub(crate) fn counter_under(platform: &PlatformId, entity: &str) -> String {
    format!("entities_under:{platform}:{entity}")
}

/// The recount of [`counter_under`].
pub(crate) const TALLY_UNDER: Tally = Tally {
    name: "entities under an entity",
    sql: "SELECT e.id AS parent, 'entities_under:' || e.platform_id || ':' || e.id AS key, \
              (SELECT count(*) FROM subtree_members m WHERE m.ancestor_id = e.id AND m.list = 'subtenant' \
                   AND m.member_id <> e.id) AS found \
          FROM (SELECT id, platform_id FROM entities WHERE id > $1 ORDER BY id LIMIT $2) e",
};

fn not_found(id: &EntityId) -> Error {
    Error::not_found("entity", id)
}

/// A live entity.
pub(crate) async fn get(mut c: &Conn, scope: &PlatformScope, id: &EntityId) -> Result<EntityRow> {
    e::entities
        .filter(e::platform_id.eq(scope.id()))
        .filter(reach::entity(scope))
        .filter(e::id.eq(id))
        .filter(e::deleted_at.is_null())
        .select(EntityRow::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// The live entity with a slug.
pub(crate) async fn by_slug(mut c: &Conn, scope: &PlatformScope, slug: &Slug) -> Result<Option<EntityRow>> {
    Ok(e::entities
        .filter(e::platform_id.eq(scope.id()))
        .filter(reach::entity(scope))
        .filter(e::slug.eq(slug))
        .filter(e::deleted_at.is_null())
        .select(EntityRow::as_select())
        .first(&mut c)
        .await
        .optional()?)
}

/// A live entity, held against deletion until the transaction ends.
pub(crate) async fn hold(mut c: &Conn, scope: &PlatformScope, id: &EntityId) -> Result<Option<EntityRow>> {
    Ok(e::entities
        .filter(e::platform_id.eq(scope.id()))
        .filter(reach::entity(scope))
        .filter(e::id.eq(id))
        .filter(e::deleted_at.is_null())
        .select(EntityRow::as_select())
        .for_key_share()
        .first(&mut c)
        .await
        .optional()?)
}

/// A live entity, held until the transaction ends, also against whoever [`hold`]s it.
pub(crate) async fn lock(mut c: &Conn, scope: &PlatformScope, id: &EntityId) -> Result<EntityRow> {
    e::entities
        .filter(e::platform_id.eq(scope.id()))
        .filter(reach::entity(scope))
        .filter(e::id.eq(id))
        .filter(e::deleted_at.is_null())
        .select(EntityRow::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// A page of a platform's live entities, newest first.
pub(crate) async fn page(
    c: &Conn,
    scope: &PlatformScope,
    kind: Option<EntityType>,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<EntityRow>> {
    if let Some(roots) = reach::roots(scope) {
        return page_under(c, scope, roots, kind, limit, after).await;
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
    // Two statements rather than one put together, so that both stay prepared.
    let rows = async {
        match kind {
            None => Ok(rows.load(&mut pipeline).await?),
            Some(kind) => Ok(rows.filter(e::kind.eq(kind)).load(&mut pipeline).await?),
        }
    };
    let (rows, total) = tokio::try_join!(rows, counter_total(c, &key))?;
    Ok(Page::new(rows, limit, total, &key, EntityRow::place))
}

/// The same of some entities and what is under them.
async fn page_under(
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
    let rows = subtree::newest(roots, List::Entities(&kinds), after, limit, rows);
    // Under an entity there are subtenants alone.
    let under = kinds.contains(&EntityType::Subtenant).then(|| counter_under(scope.id(), ""));
    let mut pipeline = c;
    let total = subtree::total(c, roots, under.as_deref(), &kinds);
    let (rows, total) = tokio::try_join!(async { Ok(rows.load(&mut pipeline).await?) }, total)?;
    Ok(Page::new(rows, limit, total, &counter(scope.id(), kind), EntityRow::place))
}

/// An entity and its ancestors, root first; none for an id that stands for the platform as a whole.
pub(crate) async fn line(mut c: &Conn, id: &EntityId) -> Result<Vec<EntityId>> {
    let path = e::entities.filter(e::id.eq(id)).select(e::path).first::<Vec<EntityId>>(&mut c).await;
    Ok(path
        .optional()?
        .map(|mut path| {
            path.push(id.clone());
            path
        })
        .unwrap_or_default())
}

/// The ancestors of an entity, nearest first.
pub(crate) async fn ancestors(
    mut c: &Conn,
    scope: &PlatformScope,
    entity: &EntityRow,
) -> Result<Vec<EntityRow>> {
    Ok(e::entities
        .filter(e::platform_id.eq(scope.id()))
        .filter(reach::entity(scope))
        .filter(e::id.eq_any(&entity.path))
        .select(EntityRow::as_select())
        .order(e::depth.desc())
        .load(&mut c)
        .await?)
}

/// At most `limit` of the live entities under one, by depth, then oldest first, after a place among them.
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
            .filter(reach::entity(scope))
            .filter(e::deleted_at.is_null())
            .select(EntityRow::as_select())
    };
    Ok(subtree::under(id, after, limit, rows).load(&mut c).await?)
}

/// What keeps an entity from being deleted.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Dependents {
    pub(crate) entities: i64,
    pub(crate) stacks: i64,
    pub(crate) resources: i64,
    pub(crate) features: i64,
}

/// How many live things hang on an entity.
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
    let counted: (Option<i64>, Option<i64>, Option<i64>, Option<i64>) =
        diesel::select((children, stacks, resources, features)).get_result(&mut c).await?;
    let (entities, stacks, resources, features) = counted;
    Ok(Dependents {
        entities: entities.unwrap_or_default(),
        stacks: stacks.unwrap_or_default(),
        resources: resources.unwrap_or_default(),
        features: features.unwrap_or_default(),
    })
}

/// The insert of a new entity.
pub(crate) fn insert(row: EntityRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(e::entities).values(row)
}

/// The update of an entity that the transaction holds.
pub(crate) fn update(row: EntityRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id = row.id.clone();
    diesel::update(e::entities.filter(e::id.eq(id))).set(row)
}
