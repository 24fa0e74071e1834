//! What of a platform a statement finds, when its caller sees but entities of it and what is under them.
//!
//! Of one thing, one text serves callers who see the platform whole and those who do not, so it stays prepared; to the
//! former it costs a constant. The branch is read once for a statement. A list of the platform's would be gone through
//! for the few rows that are theirs; so they have theirs from the other end, from the branch: see [`Newest`].

use std::marker::PhantomData;

use diesel::{
    AppearsOnTable, Expression, QueryableByName, SelectableExpression,
    expression::{ValidGrouping, is_aggregate},
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_query,
    sql_types::{Array, BigInt, Bool, Nullable, SingleValue, Text, Uuid},
};
use diesel_async::RunQueryDsl;
use domain::{EntityId, Limit, PlatformId, Result, platform::PlatformStatus};
use kit::{PlatformScope, db::Conn};

/// How a column leads to an entity: the function that tells which ids do, of some roots, and their type.
pub(crate) trait Lead {
    const FUNCTION: &'static str;
    const IDS: &'static str;
    type Id: SingleValue;
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
    const FUNCTION: &'static str = "branch";
    const IDS: &'static str = "text[]";
    type Id = Text;
}

impl Lead for Resource {
    const FUNCTION: &'static str = "branch_resources";
    const IDS: &'static str = "uuid[]";
    type Id = Uuid;
}

impl Lead for DnsRecord {
    const FUNCTION: &'static str = "branch_dns_records";
    const IDS: &'static str = "uuid[]";
    type Id = Uuid;
}

/// The ids that lead to what is under the roots, as one array.
fn walk_ids<'b, L: Lead>(roots: &'b Vec<EntityId>, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    out.push_sql("(SELECT ");
    out.push_sql(L::FUNCTION);
    out.push_sql("(");
    out.push_bind_param::<Array<Text>, _>(roots)?;
    out.push_sql("))::");
    out.push_sql(L::IDS);
    Ok(())
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

/// Whether a column names one of some entities, or one that is under them.
#[derive(Debug, Clone)]
pub(crate) struct Under<C> {
    column: C,
    roots: Vec<EntityId>,
}

/// Whether the column names one of the entities or one that is under them: the rows are found by these.
pub(crate) fn under<C>(column: C, roots: &[EntityId]) -> Under<C> {
    Under { column, roots: roots.to_vec() }
}

impl<C: QueryFragment<Pg>> QueryFragment<Pg> for Under<C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(" = ANY (");
        walk_ids::<Entity>(&self.roots, &mut out)?;
        out.push_sql(")");
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
        out.push_sql(" OR ");
        self.column.walk_ast(out.reborrow())?;
        // Not the array itself: that would be gone through for each row, while this is looked up.
        out.push_sql(" IN (SELECT unnest(");
        walk_ids::<L>(&self.roots, &mut out)?;
        out.push_sql(")))");
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

/// The newest rows under some roots: of each id that leads to rows its newest ones, and of those the newest. It costs
/// the ids, and no more than a page of each.
#[derive(Debug, Clone)]
pub(crate) struct Newest<Q, L> {
    roots: Vec<EntityId>,
    only: Option<String>,
    rows: Q,
    limit: i64,
    lead: PhantomData<L>,
}

/// The newest of `rows`, a page of what [`seen`] leads to, newest first; those that `only` leads to, if one is given.
/// `rows` name their platform by no plain equality: with old statistics the planner would rather read the platform for
/// each id.
pub(crate) fn newest<Q, L>(
    roots: &[EntityId],
    only: Option<&EntityId>,
    rows: Q,
    _: Seen<L>,
    limit: Limit,
) -> Newest<Q, L> {
    let only = only.map(ToString::to_string);
    Newest { roots: roots.to_vec(), only, rows, limit: limit.rows(), lead: PhantomData }
}

impl<Q: QueryFragment<Pg>, L: Lead> QueryFragment<Pg> for Newest<Q, L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT found.* FROM unnest(");
        walk_ids::<L>(&self.roots, &mut out)?;
        out.push_sql(") AS seen (id), LATERAL (");
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(") AS found WHERE (");
        out.push_bind_param::<Nullable<Text>, _>(&self.only)?;
        out.push_sql(" IS NULL OR seen.id::text = ");
        out.push_bind_param::<Nullable<Text>, _>(&self.only)?;
        out.push_sql(") ORDER BY found.created_at DESC, found.id DESC LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        Ok(())
    }
}

impl<Q: QueryId, L: QueryId> QueryId for Newest<Q, L> {
    type QueryId = Newest<Q::QueryId, L::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID && L::HAS_STATIC_QUERY_ID;
}

impl<Q: Query, L> Query for Newest<Q, L> {
    type SqlType = Q::SqlType;
}

/// One of the ids that lead to rows, inside [`Newest`].
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Seen<L>(PhantomData<L>);

/// The id that leads to the rows.
pub(crate) fn seen<L: Lead>() -> Seen<L> {
    Seen(PhantomData)
}

impl<L> QueryFragment<Pg> for Seen<L> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("seen.id");
        Ok(())
    }
}

impl<L: Lead> Expression for Seen<L> {
    type SqlType = L::Id;
}

impl<L: Lead, Source> AppearsOnTable<Source> for Seen<L> {}

impl<L: Lead, Source> SelectableExpression<Source> for Seen<L> {}

impl<L> ValidGrouping<()> for Seen<L> {
    type IsAggregate = is_aggregate::No;
}

#[derive(QueryableByName)]
struct Sum {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// How many things the lists of these entities and of what is under them have in all, by the counter of each, which is
/// named `list` and the entity. It costs the entities of the branch, however many things they have.
pub(crate) async fn counted(mut c: &Conn, roots: &[EntityId], list: &str) -> Result<i64> {
    let sum = sql_query(
        // In order and limited, so that it goes by the key: see `counter_total`.
        "SELECT coalesce(sum(found.n), 0)::bigint AS n FROM unnest((SELECT branch($1))::text[]) AS seen (id), \
         LATERAL (SELECT n FROM counters WHERE key = $2 || ':' || seen.id ORDER BY shard LIMIT 64) AS found",
    );
    let sum = sum.bind::<Array<Text>, _>(roots).bind::<Text, _>(list);
    Ok(sum.get_result::<Sum>(&mut c).await?.n)
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
