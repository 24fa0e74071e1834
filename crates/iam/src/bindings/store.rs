//! SQL statements of bindings.

use database::{Conn, total};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, PgExpressionMethods, QueryDsl,
    SelectableHelper,
    dsl::sql,
    helper_types::IntoBoxed,
    pg::Pg,
    query_builder::{QueryFragment, QueryId},
    sql_types::{Array, Bool, Integer, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, Error, Grant, Limit, Name, Page, PlatformId, Result};
use uuid::Uuid;

use super::model::BindingRow;
use crate::{
    grants::AdminScope,
    schema::bindings::{self, dsl as b},
};

/// Filter of a list.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) platform: Option<PlatformId>,
    pub(super) subject: Option<Name>,
}

impl Filter {
    /// The name of the list. A cursor of a different filter is rejected.
    pub(super) fn list(&self) -> String {
        format!("bindings {self:?}")
    }
}

/// A page of the bindings that the caller administers, newest first, with their total.
pub(super) async fn page(
    c: &Conn,
    own: &AdminScope,
    filter: &Filter,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<BindingRow>> {
    let last = Uuid::parse_str(&after.id).unwrap_or(Uuid::max());
    let rows =
        database::newest!(matching(own, filter).select(BindingRow::as_select()), b, after, last, limit);
    let mut pipeline = c;
    let rows = async { Ok(rows.load(&mut pipeline).await?) };
    let count = total(c, || matching(own, filter).select(sql::<Integer>("1")));
    let (rows, total) = tokio::try_join!(rows, count)?;
    Ok(Page::new(rows, limit, total, &filter.list(), BindingRow::cursor))
}

/// The bindings that match, without order and selection.
fn matching<'a>(own: &'a AdminScope, filter: &'a Filter) -> IntoBoxed<'a, bindings::table, Pg> {
    let mut rows = match own {
        AdminScope::Everywhere(roles) => bindings::table.filter(b::role.eq_any(roles)).into_boxed(),
        AdminScope::Within { platforms, entities } => {
            // The same function as in the policy of the table, because an index on arrays cannot be used under the policy.
            let of_entities = sql::<Nullable<Bool>>("bindings.id = ANY ((SELECT bindings_of(")
                .bind::<Array<Text>, _>(entities)
                .sql("))::uuid[])");
            bindings::table.filter(b::platform_id.eq_any(platforms).or(of_entities)).into_boxed()
        }
    };
    if let Some(platform) = &filter.platform {
        rows = rows.filter(b::platform_id.eq(platform));
    }
    if let Some(subject) = &filter.subject {
        rows = rows.filter(b::subject.eq(subject));
    }
    rows
}

/// All bindings of a user.
pub(super) async fn by_subject(mut c: &Conn, subject: &Name) -> Result<Vec<BindingRow>> {
    let found = b::bindings.filter(b::subject.eq(subject)).select(BindingRow::as_select());
    Ok(found.order((b::created_at.desc(), b::id.desc())).load(&mut c).await?)
}

/// The number of bindings of a user.
pub(super) async fn count_by_subject(mut c: &Conn, subject: &Name) -> Result<i64> {
    Ok(b::bindings.filter(b::subject.eq(subject)).count().get_result(&mut c).await?)
}

/// Locks a binding until the transaction ends.
pub(super) async fn lock_for_update(mut c: &Conn, id: Uuid) -> Result<BindingRow> {
    b::bindings
        .filter(b::id.eq(id))
        .select(BindingRow::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("binding", id))
}

/// Returns a binding.
pub(super) async fn get(mut c: &Conn, id: Uuid) -> Result<BindingRow> {
    let found = b::bindings.filter(b::id.eq(id)).select(BindingRow::as_select());
    found.first(&mut c).await.optional()?.ok_or_else(|| Error::not_found("binding", id))
}

/// Finds the binding of a user with a grant, and locks it until the transaction ends.
pub(super) async fn find_for_update(
    mut c: &Conn,
    subject: &Name,
    grant: &Grant,
) -> Result<Option<BindingRow>> {
    Ok(b::bindings
        .filter(b::subject.eq(subject))
        .filter(b::role.eq(grant.role))
        .filter(b::platform_id.is_not_distinct_from(grant.scope.platform()))
        .filter(b::entity_id.is_not_distinct_from(grant.scope.entity()))
        .select(BindingRow::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?)
}

/// Inserts a new binding.
pub(super) fn insert(row: BindingRow) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    diesel::insert_into(b::bindings).values(row)
}

/// Deletes a binding that the transaction has locked.
pub(super) fn delete(id: Uuid) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    diesel::delete(b::bindings.filter(b::id.eq(id)))
}
