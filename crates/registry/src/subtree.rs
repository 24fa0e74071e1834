//! Lists of the subtrees that a caller is granted.
//!
//! The table `subtree_members` contains the members of every subtree in list order; triggers maintain it. Reading a
//! page therefore costs one page per granted entity, however large the subtree and the platform are.

use std::marker::PhantomData;

use database::Conn;
use diesel::{
    AppearsOnTable, Expression, SelectableExpression,
    expression::{ValidGrouping, is_aggregate},
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{Array, BigInt, Integer, Nullable, SingleValue, Text, Timestamptz, Uuid},
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, EntityId, Limit, Result, entity::EntityType};

use crate::entities::model::DepthCursor;

/// List of a type of object in a subtree.
#[derive(Debug, Clone, Copy)]
pub(crate) enum List<'a> {
    Entities(&'a [EntityType]),
    Resources,
    Stacks,
    DnsRecords(&'a domain::StackId),
    CustomDomains,
}

impl List<'_> {
    /// Names of the list in the table. Entities are two lists, so that each type of entity can be listed by itself.
    fn names(self) -> Vec<String> {
        match self {
            Self::Entities(kinds) => kinds.iter().map(ToString::to_string).collect(),
            Self::Resources => vec!["resource".to_owned()],
            Self::Stacks => vec!["stack".to_owned()],
            Self::DnsRecords(stack) => vec![format!("dns_record:{stack}")],
            Self::CustomDomains => vec!["custom_domain".to_owned()],
        }
    }
}

/// SQL type of an id, with the expression that converts a member's id to it. The conversion belongs in the page
/// subquery: a cast in the row statement could leak its input, so row-level security would keep it from using the
/// index.
pub(crate) trait MemberId: SingleValue {
    const CAST: &'static str;
}

impl MemberId for Text {
    const CAST: &'static str = "id";
}

impl MemberId for Uuid {
    const CAST: &'static str = "id::uuid";
}

/// Id of a member in the rows of a page.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Member<T>(PhantomData<T>);

/// Member with a text id: entities and stacks.
pub(crate) type TextMember = Member<Text>;
/// Member with a UUID.
pub(crate) type UuidMember = Member<Uuid>;

impl<T: MemberId> QueryFragment<Pg> for Member<T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("page.id");
        Ok(())
    }
}

impl<T: MemberId> Expression for Member<T> {
    type SqlType = T;
}

impl<T: MemberId, Source> AppearsOnTable<Source> for Member<T> {}

impl<T: MemberId, Source> SelectableExpression<Source> for Member<T> {}

impl<T> ValidGrouping<()> for Member<T> {
    type IsAggregate = is_aggregate::No;
}

/// Page of a list of several subtrees, newest first.
#[derive(Debug, Clone)]
pub(crate) struct SubtreePage<Q, T> {
    roots: Vec<EntityId>,
    lists: Vec<String>,
    after: Cursor,
    limit: i64,
    rows: Q,
    id: PhantomData<T>,
}

/// Returns the page of a list after a cursor. `rows` selects the row of a [`Member`]. That statement must not filter
/// the platform by plain equality: with outdated statistics, the planner would read the whole platform for each member.
pub(crate) fn page<Q, T: MemberId>(
    roots: &[EntityId],
    list: List<'_>,
    after: &Cursor,
    limit: Limit,
    rows: impl FnOnce(Member<T>) -> Q,
) -> SubtreePage<Q, T> {
    let (lists, rows) = (list.names(), rows(Member(PhantomData)));
    SubtreePage {
        roots: roots.to_vec(),
        lists,
        after: after.clone(),
        limit: limit.rows(),
        rows,
        id: PhantomData,
    }
}

impl<Q: QueryFragment<Pg>, T: MemberId> QueryFragment<Pg> for SubtreePage<Q, T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT found.* FROM (SELECT ");
        out.push_sql(T::CAST);
        out.push_sql(" AS id, n FROM subtree_page(");
        out.push_bind_param::<Array<Text>, _>(&self.roots)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.lists)?;
        out.push_sql(", ");
        out.push_bind_param::<Timestamptz, _>(&self.after.at)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&self.after.id)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        // `OFFSET 0` keeps the cast inside the page subquery.
        out.push_sql(") WITH ORDINALITY AS member (id, n) OFFSET 0) AS page, LATERAL (");
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(") AS found ORDER BY page.n");
        Ok(())
    }
}

impl<Q: QueryId, T: QueryId> QueryId for SubtreePage<Q, T> {
    type QueryId = SubtreePage<Q::QueryId, T::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID && T::HAS_STATIC_QUERY_ID;
}

impl<Q: Query, T> Query for SubtreePage<Q, T> {
    type SqlType = Q::SqlType;
}

/// Descendants of an entity, by depth, then oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Descendants<Q> {
    root: EntityId,
    after: DepthCursor,
    limit: i64,
    rows: Q,
}

/// Returns at most `limit` descendants of an entity after a cursor. `rows` selects the row of a [`Member`].
pub(crate) fn descendants<Q>(
    root: &EntityId,
    after: &DepthCursor,
    limit: i64,
    rows: impl FnOnce(Member<Text>) -> Q,
) -> Descendants<Q> {
    Descendants { root: root.clone(), after: after.clone(), limit, rows: rows(Member(PhantomData)) }
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Descendants<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT found.* FROM (SELECT depth, created_at, member_id, member_id COLLATE \"default\" AS id \
             FROM subtree_members WHERE depth IS NOT NULL AND (depth, created_at, member_id) > (",
        );
        out.push_bind_param::<Integer, _>(&self.after.depth)?;
        out.push_sql(", ");
        out.push_bind_param::<Timestamptz, _>(&self.after.at)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&self.after.id)?;
        out.push_sql(") AND ancestor_id = ");
        out.push_bind_param::<Text, _>(&self.root)?;
        // Excludes the entity itself: every member of the page yields a row, so a short page is the last one.
        out.push_sql(" AND member_id <> ");
        out.push_bind_param::<Text, _>(&self.root)?;
        out.push_sql(" ORDER BY depth, created_at, member_id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") AS page, LATERAL (");
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(") AS found ORDER BY page.depth, page.created_at, page.member_id");
        Ok(())
    }
}

impl<Q: QueryId> QueryId for Descendants<Q> {
    type QueryId = Descendants<Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q: Query> Query for Descendants<Q> {
    type SqlType = Q::SqlType;
}

diesel::define_sql_function! {
    fn subtree_total(roots: Array<Text>, counter: Nullable<Text>, root_types: Array<Text>) -> BigInt;
}

/// Returns the number of objects in a list of several subtrees. Nested subtrees count once. `counter` is the counter of
/// descendants, without the entity's id at its end. The roots themselves count if their type is in `root_types`.
pub(crate) async fn total(
    mut c: &Conn,
    roots: &[EntityId],
    counter: Option<&str>,
    root_types: &[EntityType],
) -> Result<i64> {
    Ok(diesel::select(subtree_total(roots, counter, root_types)).get_result(&mut c).await?)
}
