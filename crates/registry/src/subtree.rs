//! Lists of subtrees: what the entities that a caller is granted have, and what is under them.
//!
//! The table `subtree_members` has the members of every subtree, in the order of each list; triggers maintain it. So a
//! page costs a page for each granted entity, however large the subtree and the platform are.

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

/// A list that subtrees have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum List<'a> {
    Entities(&'a [EntityType]),
    Resources,
    Stacks,
    DnsRecords(&'a domain::StackId),
    CustomDomains,
}

impl List<'_> {
    /// As the table names it. Entities are two lists, so that one type of them is a list too.
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

/// The type of an id, and how the id of a member is read as one. Within the page: a cast that the row statement had
/// itself would not get past row-level security to the index, as it could leak what it is given.
pub(crate) trait MemberId: SingleValue {
    const READ: &'static str;
}

impl MemberId for Text {
    const READ: &'static str = "id";
}

impl MemberId for Uuid {
    const READ: &'static str = "id::uuid";
}

/// The id of a member, in the rows of a page.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Member<T>(PhantomData<T>);

/// One that is a text, as entities and stacks have.
pub(crate) type TextMember = Member<Text>;
/// One that is a UUID.
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

/// A page of a list of some subtrees, newest first.
#[derive(Debug, Clone)]
pub(crate) struct Newest<Q, T> {
    roots: Vec<EntityId>,
    lists: Vec<String>,
    after: Cursor,
    limit: i64,
    rows: Q,
    id: PhantomData<T>,
}

/// The page of a list of these subtrees after a place in it; `rows` gives the row of a [`Member`]. They name their
/// platform by no plain equality: with old statistics the planner would rather read the platform for each member.
pub(crate) fn newest<Q, T: MemberId>(
    roots: &[EntityId],
    list: List<'_>,
    after: &Cursor,
    limit: Limit,
    rows: impl FnOnce(Member<T>) -> Q,
) -> Newest<Q, T> {
    let (lists, rows) = (list.names(), rows(Member(PhantomData)));
    Newest { roots: roots.to_vec(), lists, after: after.clone(), limit: limit.rows(), rows, id: PhantomData }
}

impl<Q: QueryFragment<Pg>, T: MemberId> QueryFragment<Pg> for Newest<Q, T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT found.* FROM (SELECT ");
        out.push_sql(T::READ);
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
        // `OFFSET 0` keeps the cast within the page.
        out.push_sql(") WITH ORDINALITY AS member (id, n) OFFSET 0) AS page, LATERAL (");
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(") AS found ORDER BY page.n");
        Ok(())
    }
}

impl<Q: QueryId, T: QueryId> QueryId for Newest<Q, T> {
    type QueryId = Newest<Q::QueryId, T::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID && T::HAS_STATIC_QUERY_ID;
}

impl<Q: Query, T> Query for Newest<Q, T> {
    type SqlType = Q::SqlType;
}

/// What is under an entity, by depth, then oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Under<Q> {
    root: EntityId,
    after: DepthCursor,
    limit: i64,
    rows: Q,
}

/// At most `limit` entities under one, after a place; `rows` gives the row of a [`Member`].
pub(crate) fn under<Q>(
    root: &EntityId,
    after: &DepthCursor,
    limit: i64,
    rows: impl FnOnce(Member<Text>) -> Q,
) -> Under<Q> {
    Under { root: root.clone(), after: after.clone(), limit, rows: rows(Member(PhantomData)) }
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Under<Q> {
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
        // Not the entity itself: each member of the page is a row of it, so that a short page is the last one.
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

impl<Q: QueryId> QueryId for Under<Q> {
    type QueryId = Under<Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q: Query> Query for Under<Q> {
    type SqlType = Q::SqlType;
}

diesel::define_sql_function! {
    fn subtree_total(roots: Array<Text>, counter: Nullable<Text>, own: Array<Text>) -> BigInt;
}

/// The number of things in a list of some subtrees, of which nested ones count once. `counter` names the counter of
/// what is under an entity, which its id follows; the entities themselves count if their type is one of `own`.
pub(crate) async fn total(
    mut c: &Conn,
    roots: &[EntityId],
    counter: Option<&str>,
    own: &[EntityType],
) -> Result<i64> {
    Ok(diesel::select(subtree_total(roots, counter, own)).get_result(&mut c).await?)
}
