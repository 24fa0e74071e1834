//! Row filter for callers whose grants cover only some entities of a platform, with what is under them.
//!
//! The filter asks upwards: a row is theirs if the entity that it belongs to, or one of that entity's at most 15
//! ancestors, is granted. One text serves callers who see the platform whole and those who do not, so it stays prepared,
//! and to the former it costs a constant. Their lists are read from [`subtree`](crate::subtree).

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

/// How a column leads to an entity: the text before the column, the text between it and the granted entities, and the
/// text after them.
pub(crate) trait Lead {
    const BEFORE: &'static str;
    const BETWEEN: &'static str = " AND u.deleted_at IS NULL AND (u.path || u.id) && ";
    // `OFFSET 0` keeps the planner from making a table of all that could be theirs.
    const AFTER: &'static str = " OFFSET 0)";
}

/// The row is the entity, and the column its id.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Itself;
/// The column names an entity.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Entity;
/// The column names a resource.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Resource;
/// The column names a DNS record.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct DnsRecord;

impl Lead for Itself {
    const BEFORE: &'static str = "(entities.path || ";
    const BETWEEN: &'static str = ") && ";
    const AFTER: &'static str = "";
}

impl Lead for Entity {
    const BEFORE: &'static str = "EXISTS (SELECT FROM entities u WHERE u.id = ";
}

impl Lead for Resource {
    const BEFORE: &'static str =
        "EXISTS (SELECT FROM resources w JOIN entities u ON u.id = w.entity_id WHERE w.id = ";
}

impl Lead for DnsRecord {
    const BEFORE: &'static str = "EXISTS (SELECT FROM dns_records v JOIN resources w ON w.id = v.resource_id \
         JOIN entities u ON u.id = w.entity_id WHERE v.id = ";
}

/// Whether a row belongs to what the caller sees.
#[derive(Debug, Clone)]
pub(crate) struct Reached<C, L> {
    column: C,
    whole: bool,
    roots: Vec<EntityId>,
    lead: PhantomData<L>,
}

/// Whether an entity is seen.
pub(crate) fn entity(scope: &PlatformScope) -> Reached<schema::entities::id, Itself> {
    Reached::new(scope, schema::entities::id)
}

/// Whether the row whose column names an entity is seen.
pub(crate) fn by_entity<C>(scope: &PlatformScope, column: C) -> Reached<C, Entity> {
    Reached::new(scope, column)
}

/// Whether the row whose column names a resource is seen.
pub(crate) fn by_resource<C>(scope: &PlatformScope, column: C) -> Reached<C, Resource> {
    Reached::new(scope, column)
}

/// Whether the row whose column names a DNS record is seen.
pub(crate) fn by_dns_record<C>(scope: &PlatformScope, column: C) -> Reached<C, DnsRecord> {
    Reached::new(scope, column)
}

/// Whether the row whose column names an entity belongs to one of these, or to what is under them.
pub(crate) fn under<C>(column: C, roots: Vec<EntityId>) -> Reached<C, Entity> {
    Reached { column, whole: false, roots, lead: PhantomData }
}

impl<C, L> Reached<C, L> {
    fn new(scope: &PlatformScope, column: C) -> Self {
        let roots = roots(scope);
        Self { column, whole: roots.is_none(), roots: roots.unwrap_or_default().to_vec(), lead: PhantomData }
    }
}

/// The entities whose branches are all that a statement may find; none where it may find what the platform has.
pub(crate) fn roots(scope: &PlatformScope) -> Option<&[EntityId]> {
    scope.subtree_roots().filter(|_| identity::scope_filter_enabled())
}

impl<C: QueryFragment<Pg>, L: Lead> QueryFragment<Pg> for Reached<C, L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        out.push_bind_param::<Bool, _>(&self.whole)?;
        out.push_sql(" OR ");
        out.push_sql(L::BEFORE);
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(L::BETWEEN);
        out.push_bind_param::<Array<Text>, _>(&self.roots)?;
        out.push_sql(L::AFTER);
        out.push_sql(")");
        Ok(())
    }
}

impl<C: QueryId, L: QueryId> QueryId for Reached<C, L> {
    type QueryId = Reached<C::QueryId, L::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = C::HAS_STATIC_QUERY_ID && L::HAS_STATIC_QUERY_ID;
}

impl<C, L> Expression for Reached<C, L> {
    type SqlType = Bool;
}

impl<C, L, Source> AppearsOnTable<Source> for Reached<C, L> where C: AppearsOnTable<Source> {}

impl<C, L, Source> SelectableExpression<Source> for Reached<C, L> where C: SelectableExpression<Source> {}

impl<C, L> ValidGrouping<()> for Reached<C, L> {
    type IsAggregate = is_aggregate::No;
}

diesel::define_sql_function! {
    fn home_status(platform: Text) -> diesel::sql_types::Nullable<Text>;
}
diesel::define_sql_function! {
    fn hold_home(platform: Text) -> diesel::sql_types::Nullable<Text>;
}

/// How the platform stands that the caller sees but entities of: they do not see its row. None when it is deleted.
pub(crate) async fn home(mut c: &Conn, platform: &PlatformId) -> Result<Option<PlatformStatus>> {
    Ok(diesel::select(home_status(platform.as_str())).get_result(&mut c).await?)
}

/// The same, held against deletion until the transaction ends.
pub(crate) async fn held_home(mut c: &Conn, platform: &PlatformId) -> Result<Option<PlatformStatus>> {
    Ok(diesel::select(hold_home(platform.as_str())).get_result(&mut c).await?)
}
