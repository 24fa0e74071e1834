//! Row filter for callers whose grants cover only some entities of a platform.
//!
//! A row is visible if its entity, or one of the at most 15 ancestors of that entity, is granted. The same SQL text
//! serves callers who see the whole platform, so it stays prepared; for them the filter is a constant. Lists of
//! restricted callers are read from [`subtree`](crate::subtree).

use std::marker::PhantomData;

use database::Conn;
use diesel::{
    AppearsOnTable, Expression, SelectableExpression,
    expression::{ValidGrouping, is_aggregate},
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{Array, Bool, Text},
};
use diesel_async::RunQueryDsl;
use domain::{EntityId, PlatformId, Result, platform::PlatformStatus};
use identity::PlatformScope;

use crate::schema;

/// Path from a column to an entity, as SQL: the text before the column, the text between the column and the granted
/// entities, and the text after them.
pub(crate) trait Via {
    const BEFORE: &'static str;
    const BETWEEN: &'static str = " AND u.deleted_at IS NULL AND (u.path || u.id) && ";
    // `OFFSET 0` keeps the planner from materializing every candidate row.
    const AFTER: &'static str = " OFFSET 0)";
}

/// The column is the id of the entity itself.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Direct;
/// The column references an entity.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Entity;
/// The column references a resource.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Resource;
/// The column references a DNS record.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct DnsRecord;

impl Via for Direct {
    const BEFORE: &'static str = "(entities.path || ";
    const BETWEEN: &'static str = ") && ";
    const AFTER: &'static str = "";
}

impl Via for Entity {
    const BEFORE: &'static str = "EXISTS (SELECT FROM entities u WHERE u.id = ";
}

impl Via for Resource {
    const BEFORE: &'static str =
        "EXISTS (SELECT FROM resources w JOIN entities u ON u.id = w.entity_id WHERE w.id = ";
}

impl Via for DnsRecord {
    const BEFORE: &'static str = "EXISTS (SELECT FROM dns_records v JOIN resources w ON w.id = v.resource_id \
         JOIN entities u ON u.id = w.entity_id WHERE v.id = ";
}

/// SQL condition that is true for rows visible to the caller.
#[derive(Debug, Clone)]
pub(crate) struct VisibleTo<C, V> {
    column: C,
    sees_platform: bool,
    roots: Vec<EntityId>,
    via: PhantomData<V>,
}

/// Returns the filter for the table of entities.
pub(crate) fn entity(scope: &PlatformScope) -> VisibleTo<schema::entities::id, Direct> {
    VisibleTo::new(scope, schema::entities::id)
}

/// Returns the filter for rows whose column references an entity.
pub(crate) fn via_entity<C>(scope: &PlatformScope, column: C) -> VisibleTo<C, Entity> {
    VisibleTo::new(scope, column)
}

/// Returns the filter for rows whose column references a resource.
pub(crate) fn via_resource<C>(scope: &PlatformScope, column: C) -> VisibleTo<C, Resource> {
    VisibleTo::new(scope, column)
}

/// Returns the filter for rows whose column references a DNS record.
pub(crate) fn via_dns_record<C>(scope: &PlatformScope, column: C) -> VisibleTo<C, DnsRecord> {
    VisibleTo::new(scope, column)
}

/// Returns the filter for rows whose column references one of `roots` or one of their descendants.
pub(crate) fn in_subtrees<C>(column: C, roots: Vec<EntityId>) -> VisibleTo<C, Entity> {
    VisibleTo { column, sees_platform: false, roots, via: PhantomData }
}

impl<C, V> VisibleTo<C, V> {
    fn new(scope: &PlatformScope, column: C) -> Self {
        let roots = subtree_roots(scope);
        Self {
            column,
            sees_platform: roots.is_none(),
            roots: roots.unwrap_or_default().to_vec(),
            via: PhantomData,
        }
    }
}

/// Returns the entities to whose subtrees a statement is restricted. `None` if the caller sees the whole platform.
pub(crate) fn subtree_roots(scope: &PlatformScope) -> Option<&[EntityId]> {
    scope.subtree_roots().filter(|_| identity::scope_filter_enabled())
}

impl<C: QueryFragment<Pg>, V: Via> QueryFragment<Pg> for VisibleTo<C, V> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        out.push_bind_param::<Bool, _>(&self.sees_platform)?;
        out.push_sql(" OR ");
        out.push_sql(V::BEFORE);
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(V::BETWEEN);
        out.push_bind_param::<Array<Text>, _>(&self.roots)?;
        out.push_sql(V::AFTER);
        out.push_sql(")");
        Ok(())
    }
}

impl<C: QueryId, V: QueryId> QueryId for VisibleTo<C, V> {
    type QueryId = VisibleTo<C::QueryId, V::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = C::HAS_STATIC_QUERY_ID && V::HAS_STATIC_QUERY_ID;
}

impl<C, V> Expression for VisibleTo<C, V> {
    type SqlType = Bool;
}

impl<C, V, Source> AppearsOnTable<Source> for VisibleTo<C, V> where C: AppearsOnTable<Source> {}

impl<C, V, Source> SelectableExpression<Source> for VisibleTo<C, V> where C: SelectableExpression<Source> {}

impl<C, V> ValidGrouping<()> for VisibleTo<C, V> {
    type IsAggregate = is_aggregate::No;
}

diesel::define_sql_function! {
    #[sql_name = "home_status"]
    fn platform_status(platform: Text) -> diesel::sql_types::Nullable<Text>;
}
diesel::define_sql_function! {
    #[sql_name = "hold_home"]
    fn lock_platform_status(platform: Text) -> diesel::sql_types::Nullable<Text>;
}

/// Returns the status of a platform to a caller limited to some of its entities, who cannot see the row of the
/// platform. `None` if the platform is deleted.
pub(crate) async fn platform_status_via_entity(
    mut c: &Conn,
    platform: &PlatformId,
) -> Result<Option<PlatformStatus>> {
    Ok(diesel::select(platform_status(platform.as_str())).get_result(&mut c).await?)
}

/// Returns the same status and locks the platform against deletion until the transaction ends.
pub(crate) async fn lock_platform_via_entity(
    mut c: &Conn,
    platform: &PlatformId,
) -> Result<Option<PlatformStatus>> {
    Ok(diesel::select(lock_platform_status(platform.as_str())).get_result(&mut c).await?)
}
