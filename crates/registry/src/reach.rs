//! What of a platform a statement finds, when its caller sees but entities of it and what is under them.
//!
//! One text serves callers who see the platform whole and those who do not, so it stays prepared; to the former it costs
//! a constant. The branch is read once for a statement.

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

/// How a column leads to an entity: what stands before and behind the roots.
pub(crate) trait Lead {
    const BEFORE: &'static str;
    const BEHIND: &'static str;
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
    const BEFORE: &'static str = " = ANY ((SELECT branch(";
    const BEHIND: &'static str = "))::text[])";
}

impl Lead for Resource {
    const BEFORE: &'static str = " = ANY ((SELECT branch_resources(";
    const BEHIND: &'static str = "))::uuid[])";
}

impl Lead for DnsRecord {
    const BEFORE: &'static str = " = ANY ((SELECT branch_dns_records(";
    const BEHIND: &'static str = "))::uuid[])";
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

/// Whether a column names an entity or one that is under it.
#[derive(Debug, Clone)]
pub(crate) struct Under<C> {
    column: C,
    root: Vec<EntityId>,
}

/// Whether the column names the entity or one that is under it.
pub(crate) fn under<C>(column: C, root: &EntityId) -> Under<C> {
    Under { column, root: vec![root.clone()] }
}

impl<C: QueryFragment<Pg>> QueryFragment<Pg> for Under<C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(Entity::BEFORE);
        out.push_bind_param::<Array<Text>, _>(&self.root)?;
        out.push_sql(Entity::BEHIND);
        Ok(())
    }
}

impl<C: QueryId> QueryId for Under<C> {
    type QueryId = Under<C::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = C::HAS_STATIC_QUERY_ID;
}

impl<C> Expression for Under<C> {
    type SqlType = Bool;
}

impl<C, Source> AppearsOnTable<Source> for Under<C> where C: AppearsOnTable<Source> {}

impl<C, Source> SelectableExpression<Source> for Under<C> where C: SelectableExpression<Source> {}

impl<C> ValidGrouping<()> for Under<C> {
    type IsAggregate = is_aggregate::No;
}

impl<C, L> Reached<C, L> {
    fn new(scope: &PlatformScope, column: C) -> Self {
        let roots = scope.roots().unwrap_or_default().to_vec();
        let whole = scope.roots().is_none() || kit::FIRST_WALL_DOWN;
        Self { column, whole, roots, lead: PhantomData }
    }
}

impl<C: QueryFragment<Pg>, L: Lead> QueryFragment<Pg> for Reached<C, L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        out.push_bind_param::<Bool, _>(&self.whole)?;
        out.push_sql(" OR ");
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(L::BEFORE);
        out.push_bind_param::<Array<Text>, _>(&self.roots)?;
        out.push_sql(L::BEHIND);
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
    /// Entities with all that is under them.
    fn branch(roots: Array<Text>) -> Array<Text>;
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
