//! SQL statements of templates. The catalogue belongs to no platform, so no statement takes a scope.

use database::Conn;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension,
    QueryDsl, SelectableHelper,
    dsl::sql,
    query_builder::{QueryFragment, QueryId},
    sql_types::{Bool, Jsonb, Text},
};
use diesel_async::RunQueryDsl;
use domain::{Error, Result, Slug};
use serde_json::json;
use uuid::Uuid;

use super::{
    filter::{Filter, Label, Words},
    model::{Template, TemplateDetail},
};
use crate::{
    schema::{stack_templates::dsl as t, stack_versions::dsl as v},
    versions::model::StackVersion,
};

fn not_found(name: &str) -> Error {
    Error::not_found("stack template", name)
}

/// The active templates that match a filter, newest first.
pub(crate) async fn active(mut c: &Conn, filter: &Filter) -> Result<Vec<Template>> {
    // A literal, because a generic plan with a parameter could not use the partial indexes of active templates.
    let mut rows = t::stack_templates
        .filter(sql::<Bool>("stack_templates.status = 'active'"))
        .select(Template::as_select())
        .order((t::created_at.desc(), t::id.desc()))
        .into_boxed();
    if let Some(Words(words)) = &filter.words {
        rows = rows.filter(
            sql::<Bool>("stack_template_words(name, display_name, description) @@ to_tsquery('simple', ")
                .bind::<Text, _>(words)
                .sql(")"),
        );
    }
    if let Some(domain) = &filter.domain {
        rows = rows.filter(t::domain.eq(domain));
    }
    rows = match &filter.label {
        Some(Label { name, value: None }) => rows.filter(sql::<Bool>("labels ? ").bind::<Text, _>(name)),
        Some(Label { name, value: Some(value) }) => {
            rows.filter(sql::<Bool>("labels @> ").bind::<Jsonb, _>(json!({ name: value })))
        }
        None => rows,
    };
    Ok(rows.load(&mut c).await?)
}

/// Returns a template of any status with its newest active version.
pub(crate) async fn detail(mut c: &Conn, name: &Slug) -> Result<TemplateDetail> {
    let newest = v::template_id.eq(t::id).and(v::version.nullable().eq(t::latest_version));
    let (template, latest_version) = t::stack_templates
        .left_join(v::stack_versions.on(newest))
        .filter(t::name.eq(name))
        .select((Template::as_select(), Option::<StackVersion>::as_select()))
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(name.as_str()))?;
    Ok(TemplateDetail { template, latest_version })
}

/// The id of the template with this name.
pub(crate) async fn id_of(mut c: &Conn, name: &Slug) -> Result<Uuid> {
    let id = t::stack_templates.filter(t::name.eq(name)).select(t::id).first(&mut c).await.optional()?;
    id.ok_or_else(|| not_found(name.as_str()))
}

/// The name of the template with this id.
pub(crate) async fn name_of(mut c: &Conn, id: Uuid) -> Result<Option<Slug>> {
    Ok(t::stack_templates.filter(t::id.eq(id)).select(t::name).first(&mut c).await.optional()?)
}

/// Locks a template until the transaction ends, against changes of it and of its versions.
pub(crate) async fn lock_for_update(mut c: &Conn, name: &Slug) -> Result<Template> {
    t::stack_templates
        .filter(t::name.eq(name))
        .select(Template::as_select())
        .for_no_key_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(name.as_str()))
}

/// Inserts a new template.
pub(crate) fn insert(row: Template) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(t::stack_templates).values(row)
}

/// Updates a template that the transaction has locked.
pub(crate) fn update(row: Template) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::update(t::stack_templates.filter(t::id.eq(row.id))).set(row)
}
