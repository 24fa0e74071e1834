//! The statements of bindings.

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
    grants::Administered,
    schema::bindings::{self, dsl as b},
};

/// What a list is narrowed to.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) platform: Option<PlatformId>,
    pub(super) subject: Option<Name>,
}

impl Filter {
    /// Names the list, so that a cursor of another filter is refused.
    pub(super) fn list(&self) -> String {
        format!("bindings {self:?}")
    }
}

/// A page of the bindings within what is administered, newest first, and how many there are.
pub(super) async fn page(
    c: &Conn,
    own: &Administered,
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
    Ok(Page::new(rows, limit, total, &filter.list(), BindingRow::place))
}

/// The bindings that match, yet to be ordered and selected.
fn matching<'a>(own: &'a Administered, filter: &'a Filter) -> IntoBoxed<'a, bindings::table, Pg> {
    let mut rows = match own {
        Administered::Everywhere(roles) => bindings::table.filter(b::role.eq_any(roles)).into_boxed(),
        Administered::Within { platforms, entities } => {
            // As the policy of the table has it, and for the same reason.
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

/// All that a person was granted.
pub(super) async fn of_subject(mut c: &Conn, subject: &Name) -> Result<Vec<BindingRow>> {
    let found = b::bindings.filter(b::subject.eq(subject)).select(BindingRow::as_select());
    Ok(found.order((b::created_at.desc(), b::id.desc())).load(&mut c).await?)
}

/// How many bindings a person has.
pub(super) async fn count_of(mut c: &Conn, subject: &Name) -> Result<i64> {
    Ok(b::bindings.filter(b::subject.eq(subject)).count().get_result(&mut c).await?)
}

/// A binding, held until the transaction ends.
pub(super) async fn lock(mut c: &Conn, id: Uuid) -> Result<BindingRow> {
    b::bindings
        .filter(b::id.eq(id))
        .select(BindingRow::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("binding", id))
}

/// A binding.
pub(super) async fn get(mut c: &Conn, id: Uuid) -> Result<BindingRow> {
    let found = b::bindings.filter(b::id.eq(id)).select(BindingRow::as_select());
    found.first(&mut c).await.optional()?.ok_or_else(|| Error::not_found("binding", id))
}

/// The binding of a person to a grant, held until the transaction ends.
pub(super) async fn lock_same(mut c: &Conn, subject: &Name, grant: &Grant) -> Result<Option<BindingRow>> {
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

/// The insert of a new binding.
pub(super) fn insert(row: BindingRow) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    diesel::insert_into(b::bindings).values(row)
}

/// The deletion of a binding that the transaction holds.
pub(super) fn delete(id: Uuid) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    diesel::delete(b::bindings.filter(b::id.eq(id)))
}
