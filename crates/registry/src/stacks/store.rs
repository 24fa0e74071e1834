//! The statements of stacks. Each takes the caller's scope first.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    query_builder::{QueryFragment, QueryId},
    sql_query,
    sql_types::Text,
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, EntityId, Error, Limit, Name, Page, PlatformId, Result, StackId};
use kit::{PlatformScope, Scope, db::Conn};

use super::model::{Stack, Usage};
use crate::schema::stacks::dsl as s;

/// Names the list of a platform's stacks, all or of one tenant.
pub(crate) fn list(platform: &PlatformId, tenant: Option<&EntityId>) -> String {
    tenant.map_or_else(|| format!("stacks:{platform}"), |tenant| format!("stacks:{platform}:{tenant}"))
}

/// A stack.
pub(crate) async fn get(mut c: &Conn, scope: &PlatformScope, id: &StackId) -> Result<Stack> {
    s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::id.eq(id))
        .select(Stack::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("stack", id))
}

/// The stack of a tenant with a name.
pub(crate) async fn by_name(
    mut c: &Conn,
    scope: &PlatformScope,
    tenant: &EntityId,
    name: &Name,
) -> Result<Option<Stack>> {
    Ok(s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::tenant_id.eq(tenant))
        .filter(s::name.eq(name))
        .select(Stack::as_select())
        .first(&mut c)
        .await
        .optional()?)
}

/// A page of a platform's stacks, newest first.
pub(crate) async fn page(
    mut c: &Conn,
    scope: &PlatformScope,
    tenant: Option<&EntityId>,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<Stack>> {
    let before = s::created_at.lt(after.at).or(s::created_at.eq(after.at).and(s::id.lt(&after.id)));
    let rows = s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::created_at.le(after.at))
        .filter(before)
        .select(Stack::as_select())
        .order((s::created_at.desc(), s::id.desc()))
        .limit(limit.rows());
    let rows = match tenant {
        None => rows.load(&mut c).await?,
        Some(tenant) => rows.filter(s::tenant_id.eq(tenant)).load(&mut c).await?,
    };
    // The envelope of this list has no total.
    Ok(Page::new(rows, limit, 0, &list(scope.id(), tenant), Stack::place))
}

/// How many stacks of how many platforms run each version of a template, and any of them.
pub(crate) async fn usage(c: &mut Conn, _: &Scope, template: &Name) -> Result<Vec<Usage>> {
    Ok(sql_query(
        "SELECT s.template_version, count(*) AS stacks, count(DISTINCT s.platform_id) AS platforms \
         FROM stacks s JOIN platforms p ON p.id = s.platform_id AND p.deleted_at IS NULL \
         WHERE s.template_id = $1 GROUP BY GROUPING SETS ((s.template_version), ())",
    )
    .bind::<Text, _>(template)
    .load(c)
    .await?)
}

/// The insert of a new stack.
pub(crate) fn insert(row: Stack) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(s::stacks).values(row)
}
