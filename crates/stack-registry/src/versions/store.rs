//! SQL statements of versions.

use chrono::{DateTime, Utc};
use database::Conn;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension,
    QueryDsl, QueryResult, SelectableHelper,
    dsl::sql,
    query_builder::{QueryFragment, QueryId},
    sql_types::{Bool, Jsonb, Nullable},
};
use diesel_async::RunQueryDsl;
use domain::{Error, Result, Slug, Version, template::TemplateStatus};
use uuid::Uuid;

use super::model::{NewVersion, StackVersion};
use crate::schema::{stack_templates::dsl as t, stack_versions::dsl as v};

/// Returns a version of a template, with any status of both.
pub(crate) async fn get(mut c: &Conn, name: &Slug, version: &Version) -> Result<StackVersion> {
    v::stack_versions
        .inner_join(t::stack_templates.on(t::id.eq(v::template_id)))
        .filter(t::name.eq(name))
        .filter(v::version.eq(version))
        .select(StackVersion::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("stack version", format_args!("{name}@{version}")))
}

/// The versions of a template by precedence, highest first.
pub(crate) async fn all(mut c: &Conn, name: &Slug) -> Result<Vec<StackVersion>> {
    let rows: Vec<Option<StackVersion>> = t::stack_templates
        .left_join(v::stack_versions.on(v::template_id.eq(t::id)))
        .filter(t::name.eq(name))
        .order(v::sort_key.desc())
        .select(Option::<StackVersion>::as_select())
        .load(&mut c)
        .await?;
    // The join returns one row without a version for a template without versions.
    if rows.is_empty() {
        Err(Error::not_found("stack template", name))
    } else {
        Ok(rows.into_iter().flatten().collect())
    }
}

/// Inserts a version. The caller has locked the template, and handles the violation of the unique constraint.
pub(crate) async fn insert(mut c: &Conn, row: &NewVersion) -> QueryResult<usize> {
    diesel::insert_into(v::stack_versions).values(row).execute(&mut c).await
}

/// Deprecates a version. The caller has locked the template.
pub(crate) async fn deprecate(mut c: &Conn, id: Uuid) -> Result<()> {
    diesel::update(v::stack_versions.filter(v::id.eq(id)))
        .set(v::status.eq(TemplateStatus::Deprecated))
        .execute(&mut c)
        .await?;
    Ok(())
}

/// Sets `latest_version` and `labels` of a template to those of its newest active version: the highest stable one, else
/// the highest pre-release. The statement must follow the change of the versions, in a transaction that has locked the
/// template.
pub(crate) fn refresh_latest(
    template: Uuid,
    now: DateTime<Utc>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let newest = || {
        v::stack_versions
            .filter(v::template_id.eq(template))
            .filter(sql::<Bool>("status = 'active'"))
            .order((v::stable.desc(), v::sort_key.desc()))
    };
    let labels = sql::<Nullable<Jsonb>>("(stack_definition::jsonb) -> 'labels'");
    diesel::update(t::stack_templates.filter(t::id.eq(template))).set((
        t::latest_version.eq(newest().select(v::version).single_value()),
        t::labels.eq(newest().select(labels).single_value()),
        t::updated_at.eq(now),
    ))
}

/// The active versions of the templates with these names. Each row has the status of the template; a template without
/// active versions has one row without a version.
pub(crate) async fn active_of(
    mut c: &Conn,
    names: &[&str],
) -> Result<Vec<(Slug, TemplateStatus, Option<Version>)>> {
    let active = v::template_id.eq(t::id).and(sql::<Bool>("stack_versions.status = 'active'"));
    Ok(t::stack_templates
        .left_join(v::stack_versions.on(active))
        .filter(t::name.eq_any(names))
        .select((t::name, t::status, v::version.nullable()))
        .load(&mut c)
        .await?)
}
