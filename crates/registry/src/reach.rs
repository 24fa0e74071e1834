//! Row filter for callers whose grants cover only some entities of a platform, with what is under them.
//!
//! The filter asks upwards: a row is theirs if the entity that it belongs to, or one of that entity's at most 15
//! ancestors, is granted. One text serves callers who see the platform whole and those who do not, so it stays prepared,
//! and to the former it costs a constant. Their lists are read from [`subtree`](crate::subtree).

use std::marker::PhantomData;

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
use kit::{PlatformScope, db::Conn};

/// How a column leads to an entity.
pub(crate) trait Lead {
    /// From the entity `u` to the id that the column holds, up to where that id is compared with it.
    const FROM: &'static str;
}

/// The column names an entity.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Entity;
/// The column names a resource.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Resource;
/// The column names a DNS record.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct DnsRecord;

impl Lead for Entity {
    const FROM: &'static str = "entities u WHERE u.id";
}

impl Lead for Resource {
    const FROM: &'static str = "resources w JOIN entities u ON u.id = w.entity_id WHERE w.id";
}

impl Lead for DnsRecord {
    const FROM: &'static str = "dns_records v JOIN resources w ON w.id = v.resource_id \
         JOIN entities u ON u.id = w.entity_id WHERE v.id";
}

/// Whether a row belongs to what the caller sees.
#[derive(Debug, Clone)]
pub(crate) struct Reached<C, L> {
    column: C,
    whole: bool,
    roots: Vec<EntityId>,
    lead: PhantomData<L>,
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
    scope.roots().filter(|_| !kit::FIRST_WALL_DOWN)
}

impl<C: QueryFragment<Pg>, L: Lead> QueryFragment<Pg> for Reached<C, L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        out.push_bind_param::<Bool, _>(&self.whole)?;
        out.push_sql(" OR EXISTS (SELECT FROM ");
        out.push_sql(L::FROM);
        out.push_sql(" = ");
        self.column.walk_ast(out.reborrow())?;
        // `OFFSET 0` keeps the planner from making a table of all that could be theirs.
        out.push_sql(" AND u.deleted_at IS NULL AND (u.path || u.id) && ");
        out.push_bind_param::<Array<Text>, _>(&self.roots)?;
        out.push_sql(" OFFSET 0))");
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
