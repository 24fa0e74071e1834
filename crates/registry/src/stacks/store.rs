//! Statements of stacks. Each takes the connection, then the caller's scope.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use database::Conn;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, SelectableHelper,
    TextExpressionMethods,
    pg::Pg,
    query_builder::{QueryFragment, QueryId},
    sql_query, sql_types as t,
    upsert::excluded,
};
use diesel_async::RunQueryDsl;
use domain::{
    Cursor, EntityId, Error, JobId, Limit, Name, Page, PlatformId, Result, Slug, StackId, Version,
    deployment::StackStatus, resource::ResourceType,
};
use identity::{PlatformScope, Scope};

use super::{
    model::{StackRow, TemplateVersion, Usage},
    template::ResolvedTemplate,
};
use crate::{
    features::model::StackFeature,
    platforms,
    schema::{stack_features::dsl as f, stacks::dsl as s, template_versions::dsl as v},
    subtree::{self, List},
    visibility,
};

/// Name of the list of a platform's stacks, of all tenants or of one.
pub(crate) fn list(platform: &PlatformId, tenant: Option<&EntityId>) -> String {
    tenant.map_or_else(|| format!("stacks:{platform}"), |tenant| format!("stacks:{platform}:{tenant}"))
}

fn not_found(id: &StackId) -> Error {
    Error::not_found("stack", id)
}

/// Returns a stack that is not deleted.
pub(crate) async fn get(mut c: &Conn, scope: &PlatformScope, id: &StackId) -> Result<StackRow> {
    s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(visibility::via_entity(scope, s::tenant_id))
        .filter(s::id.eq(id))
        .filter(s::deleted_at.is_null())
        .select(StackRow::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Returns a stack, deleted or not.
pub(super) async fn get_any(mut c: &Conn, scope: &PlatformScope, id: &StackId) -> Result<StackRow> {
    s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(visibility::via_entity(scope, s::tenant_id))
        .filter(s::id.eq(id))
        .select(StackRow::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Returns a stack if neither it nor its platform is deleted, in one round trip.
pub(super) async fn get_existing(c: &Conn, scope: &PlatformScope, id: &StackId) -> Result<StackRow> {
    platforms::store::in_existing_platform(c, scope, get(c, scope, id)).await
}

/// Locks a stack, deleted or not, until the transaction ends. Conflicts with [`crate::parents::lock_stack`].
pub(super) async fn lock_for_update(mut c: &Conn, scope: &PlatformScope, id: &StackId) -> Result<StackRow> {
    s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(visibility::via_entity(scope, s::tenant_id))
        .filter(s::id.eq(id))
        .select(StackRow::as_select())
        .for_no_key_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Returns the stack of a tenant with a name.
pub(crate) async fn by_name(
    mut c: &Conn,
    scope: &PlatformScope,
    tenant: &EntityId,
    name: &Name,
) -> Result<Option<StackRow>> {
    Ok(s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::tenant_id.eq(tenant))
        .filter(s::name.eq(name))
        .filter(s::deleted_at.is_null())
        .select(StackRow::as_select())
        .first(&mut c)
        .await
        .optional()?)
}

/// Returns the ids of a platform's stacks. A platform has few.
pub(super) async fn ids(mut c: &Conn, scope: &PlatformScope) -> Result<Vec<StackId>> {
    Ok(s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::deleted_at.is_null())
        .order((s::created_at, s::id))
        .select(s::id)
        .load(&mut c)
        .await?)
}

/// Locks the active stacks of a platform that no later job than `job` has changed, until the transaction ends.
pub(super) async fn lock_running_before(
    mut c: &Conn,
    scope: &PlatformScope,
    job: JobId,
) -> Result<Vec<StackRow>> {
    Ok(s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::deleted_at.is_null())
        .filter(s::status.eq(StackStatus::Active))
        .filter(s::provision_job_id.lt(job))
        .order(s::id)
        .select(StackRow::as_select())
        .for_no_key_update()
        .load(&mut c)
        .await?)
}

/// Returns the jobs that remove the deleted stacks of a platform.
pub(super) async fn deletion_jobs(mut c: &Conn, scope: &PlatformScope) -> Result<Vec<JobId>> {
    let jobs: Vec<Option<JobId>> = s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::deleted_at.is_not_null())
        .select(s::provision_job_id)
        .load(&mut c)
        .await?;
    Ok(jobs.into_iter().flatten().collect())
}

/// Another stack of the platform, with the version that it runs.
pub(super) struct OtherStack {
    pub(super) id: StackId,
    pub(super) name: Name,
    pub(super) is_live: bool,
    pub(super) template: ResolvedTemplate,
}

/// Returns the other stacks of the platform that run a version of a template or are starting their first one. Ordered
/// like an index and limited, so that the planner uses that index even if it estimates that all stacks belong to this
/// platform. No platform comes near the limit.
pub(super) async fn other_stacks(
    mut c: &Conn,
    scope: &PlatformScope,
    than: &StackId,
) -> Result<Vec<OtherStack>> {
    const MAX_STACKS: i64 = 10_000;
    let rows: Vec<StackRow> = s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::deleted_at.is_null())
        .order((s::created_at.desc(), s::id.desc()))
        .limit(MAX_STACKS)
        .select(StackRow::as_select())
        .load(&mut c)
        .await?;
    let runs = |row: &StackRow| row.id != *than && (row.is_live || row.status.is_changing());
    let rows: Vec<StackRow> = rows.into_iter().filter(runs).collect();
    let versions: HashSet<(&str, &str)> = rows.iter().filter_map(StackRow::template_key).collect();
    let templates = template_versions(c, scope, versions.into_iter().unzip()).await?;
    let other = |row: StackRow| {
        let template = templates.iter().find(|one| row.template_key() == Some(one.key()))?.clone();
        Some(OtherStack { id: row.id, name: row.name, is_live: row.is_live, template })
    };
    Ok(rows.into_iter().filter_map(other).collect())
}

/// Returns versions of templates by name and version.
async fn template_versions(
    mut c: &Conn,
    _: &PlatformScope,
    (names, versions): (Vec<&str>, Vec<&str>),
) -> Result<Vec<ResolvedTemplate>> {
    // Looked up one by one: for a join, the planner could read the whole table.
    let rows: Vec<TemplateVersion> = sql_query(
        "SELECT stored.* FROM unnest($1::text[], $2::text[]) AS requested (name, version), LATERAL ( \
             SELECT * FROM template_versions WHERE template_name = requested.name AND version = requested.version OFFSET 0 \
         ) AS stored",
    )
    .bind::<t::Array<t::Text>, _>(names)
    .bind::<t::Array<t::Text>, _>(versions)
    .load(&mut c)
    .await?;
    rows.into_iter().map(ResolvedTemplate::from_stored).collect()
}

/// Locks the stacks of the platform that run one of the templates, until the transaction ends, and returns their
/// versions.
pub(super) async fn lock_running(
    mut c: &Conn,
    scope: &PlatformScope,
    templates: &[&Slug],
) -> Result<Vec<(String, Version)>> {
    let found: Vec<(Option<String>, Option<Version>)> = s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::template_name.eq_any(templates))
        .filter(s::deleted_at.is_null())
        .filter(s::is_live)
        .select((s::template_name, s::template_version))
        .for_share()
        .load(&mut c)
        .await?;
    Ok(found.into_iter().filter_map(|(name, version)| name.zip(version)).collect())
}

/// Returns a page of a platform's stacks, newest first.
pub(crate) async fn page(
    mut c: &Conn,
    scope: &PlatformScope,
    tenant: Option<&EntityId>,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<StackRow>> {
    let rows = database::newest!(
        s::stacks.filter(s::deleted_at.is_null()).select(StackRow::as_select()),
        s,
        after,
        &after.id,
        limit
    );
    let rows = match (visibility::subtree_roots(scope), tenant) {
        (Some(roots), None) => {
            let row = |member: subtree::TextMember| {
                s::stacks
                    .filter(s::id.eq(member))
                    .filter(s::platform_id.concat("").eq(scope.id()))
                    .filter(s::deleted_at.is_null())
                    .select(StackRow::as_select())
            };
            subtree::page(roots, List::Stacks, after, limit, row).load(&mut c).await?
        }
        (None, None) => rows.filter(s::platform_id.eq(scope.id())).load(&mut c).await?,
        (_, Some(tenant)) => {
            let rows = rows
                .filter(s::platform_id.concat("").eq(scope.id()))
                .filter(s::tenant_id.eq(tenant))
                .filter(visibility::via_entity(scope, s::tenant_id));
            rows.load(&mut c).await?
        }
    };
    // The envelope of this list has no total.
    Ok(Page::new(rows, limit, 0, &list(scope.id(), tenant), StackRow::cursor))
}

/// Returns a version of a template, if a stack ever used it.
pub(super) async fn template_version(
    mut c: &Conn,
    name: &str,
    version: &Version,
) -> Result<Option<ResolvedTemplate>> {
    let row = v::template_versions
        .filter(v::template_name.eq(name))
        .filter(v::version.eq(version))
        .select(TemplateVersion::as_select())
        .first(&mut c)
        .await
        .optional()?;
    row.map(ResolvedTemplate::from_stored).transpose()
}

/// Version of a feature's service that an entity other than the tenant runs.
#[derive(Debug, Clone, QueryableByName)]
pub(super) struct Sharer {
    #[diesel(sql_type = t::Text)]
    pub(super) feature_id: Slug,
    #[diesel(sql_type = t::Text)]
    pub(super) live_version: Version,
}

/// Returns the versions of a stack's services that entities other than the tenant run in production.
pub(super) async fn sharers(mut c: &Conn, scope: &PlatformScope, stack: &StackRow) -> Result<Vec<Sharer>> {
    Ok(sql_query(
        "SELECT DISTINCT feature_id, live_version FROM feature_activations \
         WHERE platform_id = $1 AND stack_id = $2 AND environment = 'prod' AND entity_id <> $3 \
             AND live_version IS NOT NULL AND has_service",
    )
    .bind::<t::Text, _>(scope.id())
    .bind::<t::Text, _>(&stack.id)
    .bind::<t::Text, _>(&stack.tenant_id)
    .load(&mut c)
    .await?)
}

/// Returns the numbers of stacks and platforms that use a template, per version and in total.
pub(crate) async fn usage(mut c: &Conn, _: &Scope, template: &Name) -> Result<Vec<Usage>> {
    Ok(sql_query(
        "SELECT s.template_version, count(*) AS stacks, count(DISTINCT s.platform_id) AS platforms \
         FROM stacks s JOIN platforms p ON p.id = s.platform_id AND p.deleted_at IS NULL \
         WHERE s.template_id = $1 AND s.deleted_at IS NULL GROUP BY GROUPING SETS ((s.template_version), ())",
    )
    .bind::<t::Text, _>(template)
    .load(&mut c)
    .await?)
}

/// Inserts a stack.
pub(crate) fn insert(row: StackRow) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    diesel::insert_into(s::stacks).values(row)
}

/// Updates a stack that the transaction has locked.
pub(super) fn update(row: StackRow) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    let id = row.id.clone();
    diesel::update(s::stacks.filter(s::id.eq(id))).set(row)
}

/// Marks stacks that the transaction has locked as failed, with nothing running.
pub(super) fn clear(
    ids: Vec<StackId>,
    reason: String,
    at: DateTime<Utc>,
) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    let none = None::<serde_json::Value>;
    diesel::update(s::stacks.filter(s::id.eq_any(ids))).set((
        s::status.eq(StackStatus::Failed),
        s::is_live.eq(false),
        s::error.eq(reason),
        s::shared.eq(Vec::<ResourceType>::new()),
        s::previous.eq(none.clone()),
        s::replaced.eq(none),
        s::updated_at.eq(at),
    ))
}

/// Inserts a version of a template, if it is not stored already.
pub(super) fn insert_template_version(
    row: Option<TemplateVersion>,
) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    diesel::insert_into(v::template_versions).values(Vec::from_iter(row)).on_conflict_do_nothing()
}

/// Inserts or updates the features that a stack's definition contains.
pub(super) fn upsert_features(rows: Vec<StackFeature>) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    diesel::insert_into(f::stack_features)
        .values(rows)
        .on_conflict((f::stack_id, f::feature_id))
        .do_update()
        .set((f::package.eq(excluded(f::package)), f::has_service.eq(excluded(f::has_service))))
}

/// Deletes the features that a stack's definition no longer contains.
pub(super) fn delete_other_features(
    stack: StackId,
    named: Vec<Slug>,
) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    diesel::delete(f::stack_features.filter(f::stack_id.eq(stack)).filter(f::feature_id.ne_all(named)))
}
