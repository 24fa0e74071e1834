//! The statements of templates. The catalogue belongs to no platform, so none takes a scope.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension,
    QueryDsl, SelectableHelper,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;
use domain::{Error, Result, Slug, template::TemplateStatus};
use kit::db::Conn;
use uuid::Uuid;

use super::model::{Template, TemplateDetail};
use crate::{
    schema::{stack_templates::dsl as t, stack_versions::dsl as v},
    versions::model::StackVersion,
};

fn not_found(name: &str) -> Error {
    Error::not_found("stack template", name)
}

/// The active templates, newest first.
pub(crate) async fn active(c: &mut Conn) -> Result<Vec<Template>> {
    Ok(t::stack_templates
        .filter(t::status.eq(TemplateStatus::Active))
        .select(Template::as_select())
        .order((t::created_at.desc(), t::id.desc()))
        .load(c)
        .await?)
}

/// A template, whatever its status, with its newest active version.
pub(crate) async fn detail(c: &mut Conn, name: &Slug) -> Result<TemplateDetail> {
    let newest = v::template_id.eq(t::id).and(v::version.nullable().eq(t::latest_version));
    let (template, latest_version) = t::stack_templates
        .left_join(v::stack_versions.on(newest))
        .filter(t::name.eq(name))
        .select((Template::as_select(), Option::<StackVersion>::as_select()))
        .first(c)
        .await
        .optional()?
        .ok_or_else(|| not_found(name.as_str()))?;
    Ok(TemplateDetail { template, latest_version })
}

/// The name of the template with this id.
pub(crate) async fn name_of(c: &mut Conn, id: Uuid) -> Result<Option<Slug>> {
    Ok(t::stack_templates.filter(t::id.eq(id)).select(t::name).first(c).await.optional()?)
}

/// A template, held until the transaction ends: whoever changes it or its versions waits.
pub(crate) async fn lock(c: &mut Conn, name: &Slug) -> Result<Template> {
    t::stack_templates
        .filter(t::name.eq(name))
        .select(Template::as_select())
        .for_no_key_update()
        .first(c)
        .await
        .optional()?
        .ok_or_else(|| not_found(name.as_str()))
}

/// The insert of a new template.
pub(crate) fn insert(row: Template) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(t::stack_templates).values(row)
}

/// The update of a template that the transaction holds.
pub(crate) fn update(row: Template) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::update(t::stack_templates.filter(t::id.eq(row.id))).set(row)
}
