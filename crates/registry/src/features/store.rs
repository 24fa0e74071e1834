//! Statements of feature activations. Each takes the connection, then the caller's scope.

use database::{Conn, CounterSource, counter_total};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, QueryableByName,
    SelectableHelper,
    query_builder::{QueryFragment, QueryId},
    sql_query, sql_types as t,
    upsert::excluded,
};
use diesel_async::RunQueryDsl;
use domain::{
    ActivationId, Cursor, EntityId, Error, JobId, Limit, Page, PlatformId, Result, Slug, StackId, Version,
    deployment::{ActivationKey, FeatureStatus, StackStatus},
    resource::{Environment, ResourceType},
};
use identity::{PlatformScope, Scope};

use super::model::{ActivationRow, ManifestTag, StackFeature};
use crate::{
    schema::{
        feature_activations::dsl as a, manifests::dsl as m, stack_features::dsl as f, stacks::dsl as s,
    },
    visibility,
};

/// Counter of an entity's activations.
pub(crate) fn counter(platform: &PlatformId, entity: &EntityId) -> String {
    format!("features:{platform}:{entity}")
}

/// Source of [`counter`].
pub(crate) const COUNTER_SOURCE: CounterSource = CounterSource {
    name: "features",
    sql: "SELECT e.id AS parent, 'features:' || e.platform_id || ':' || e.id AS key, \
              (SELECT count(*) FROM feature_activations a WHERE a.entity_id = e.id) AS found \
          FROM (SELECT id, platform_id FROM entities WHERE id > $1 ORDER BY id LIMIT $2) e",
};

/// Returns the activation of a feature.
pub(crate) async fn get(
    mut c: &Conn,
    scope: &PlatformScope,
    entity: &EntityId,
    feature: &Slug,
    environment: Environment,
) -> Result<ActivationRow> {
    a::feature_activations
        .filter(a::platform_id.eq(scope.id()))
        .filter(visibility::via_entity(scope, a::entity_id))
        .filter(a::entity_id.eq(entity))
        .filter(a::environment.eq(environment))
        .filter(a::feature_id.eq(feature))
        .select(ActivationRow::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("feature", feature))
}

/// Returns an activation by its id.
pub(crate) async fn by_id(
    mut c: &Conn,
    scope: &PlatformScope,
    entity: &EntityId,
    id: ActivationId,
) -> Result<ActivationRow> {
    a::feature_activations
        .filter(a::platform_id.eq(scope.id()))
        .filter(visibility::via_entity(scope, a::entity_id))
        .filter(a::entity_id.eq(entity))
        .filter(a::id.eq(id))
        .select(ActivationRow::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("feature activation", id))
}

/// Locks the activation of a feature until the transaction ends, if it exists.
pub(crate) async fn lock_for_update(
    mut c: &Conn,
    scope: &PlatformScope,
    key: &ActivationKey,
) -> Result<Option<ActivationRow>> {
    Ok(a::feature_activations
        .filter(a::platform_id.eq(scope.id()))
        .filter(visibility::via_entity(scope, a::entity_id))
        .filter(a::entity_id.eq(&key.entity))
        .filter(a::environment.eq(key.environment))
        .filter(a::feature_id.eq(&key.feature))
        .select(ActivationRow::as_select())
        .for_no_key_update()
        .first(&mut c)
        .await
        .optional()?)
}

/// Returns a page of an entity's activations, newest first.
pub(crate) async fn page(
    c: &Conn,
    scope: &PlatformScope,
    entity: &EntityId,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<ActivationRow>> {
    let last = ActivationId::parse(&after.id).unwrap_or(ActivationId::MAX);
    let rows = database::newest!(
        a::feature_activations
            .filter(a::platform_id.eq(scope.id()))
            .filter(visibility::via_entity(scope, a::entity_id))
            .filter(a::entity_id.eq(entity))
            .select(ActivationRow::as_select()),
        a,
        after,
        last,
        limit
    );
    let (mut pipeline, key) = (c, counter(scope.id(), entity));
    let (rows, total) =
        tokio::try_join!(async { Ok(rows.load(&mut pipeline).await?) }, counter_total(c, &key))?;
    Ok(Page::new(rows, limit, total, &key, ActivationRow::cursor))
}

/// Returns the feature as a stack of the tenant defines it: the default stack first, then the oldest one. Locks the
/// definition until the transaction ends.
pub(crate) async fn stack_feature(
    mut c: &Conn,
    scope: &PlatformScope,
    tenant: &EntityId,
    feature: &Slug,
) -> Result<Option<StackFeature>> {
    Ok(s::stacks
        .inner_join(f::stack_features.on(f::stack_id.eq(s::id)))
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::tenant_id.eq(tenant))
        .filter(s::deleted_at.is_null())
        .filter(s::status.ne(StackStatus::Failed))
        .filter(f::feature_id.eq(feature))
        .order((s::is_default.desc(), s::created_at, s::id))
        .select(StackFeature::as_select())
        .for_share()
        .first(&mut c)
        .await
        .optional()?)
}

/// Locks the activations of a stack's features, of all entities, until the transaction ends.
pub(crate) async fn lock_by_stack(
    mut c: &Conn,
    scope: &PlatformScope,
    stack: &StackId,
) -> Result<Vec<ActivationRow>> {
    Ok(a::feature_activations
        .filter(a::platform_id.eq(scope.id()))
        .filter(a::stack_id.eq(stack))
        .order(a::id)
        .select(ActivationRow::as_select())
        .for_no_key_update()
        .load(&mut c)
        .await?)
}

/// Locks the active activations of a platform that no later job than `job` has changed, until the transaction ends.
pub(crate) async fn lock_running_before(
    mut c: &Conn,
    scope: &PlatformScope,
    job: JobId,
) -> Result<Vec<ActivationRow>> {
    Ok(a::feature_activations
        .filter(a::platform_id.eq(scope.id()))
        .filter(a::status.eq(FeatureStatus::Active))
        .filter(a::provision_job_id.lt(job))
        .order(a::id)
        .select(ActivationRow::as_select())
        .for_no_key_update()
        .load(&mut c)
        .await?)
}

/// Locks the production activations of a tenant that belong to a stack or are of one of the features, until the
/// transaction ends.
pub(crate) async fn lock_by_tenant(
    mut c: &Conn,
    scope: &PlatformScope,
    tenant: &EntityId,
    stack: &StackId,
    features: &[&Slug],
) -> Result<Vec<ActivationRow>> {
    Ok(a::feature_activations
        .filter(a::platform_id.eq(scope.id()))
        .filter(a::entity_id.eq(tenant))
        .filter(a::environment.eq(Environment::Prod))
        .filter(a::stack_id.eq(stack).or(a::feature_id.eq_any(features)))
        .order(a::id)
        .select(ActivationRow::as_select())
        .for_no_key_update()
        .load(&mut c)
        .await?)
}

/// Returns the tenant of a stack, and the types of resources that its features share.
pub(crate) async fn stack_owner(
    mut c: &Conn,
    scope: &PlatformScope,
    id: &StackId,
) -> Result<(EntityId, Vec<ResourceType>)> {
    s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(s::id.eq(id))
        .select((s::tenant_id, s::shared))
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("stack", id))
}

/// Use of a service by other entities.
#[derive(Debug, Clone, Default, QueryableByName)]
pub(crate) struct Sharers {
    /// Versions that they run.
    #[diesel(sql_type = t::Array<t::Text>)]
    pub(crate) versions: Vec<Version>,
    /// True if one of them has data in the service, or will have.
    #[diesel(sql_type = t::Bool)]
    pub(crate) have_data: bool,
}

/// Returns the use of an activation's service by other entities.
pub(crate) async fn sharers(
    mut c: &Conn,
    scope: &PlatformScope,
    activation: &ActivationRow,
) -> Result<Sharers> {
    Ok(sql_query(
        "SELECT coalesce(array_agg(DISTINCT live_version) FILTER (WHERE live_version IS NOT NULL), '{}') AS versions, \
             coalesce(bool_or(has_data OR status IN ('pending', 'provisioning')), false) AS have_data \
         FROM feature_activations \
         WHERE platform_id = $1 AND stack_id = $2 AND feature_id = $3 AND environment = $4 AND entity_id <> $5",
    )
    .bind::<t::Text, _>(scope.id())
    .bind::<t::Text, _>(&activation.stack_id)
    .bind::<t::Text, _>(&activation.feature_id)
    .bind::<t::Text, _>(activation.environment)
    .bind::<t::Text, _>(&activation.entity_id)
    .get_result(&mut c)
    .await?)
}

#[derive(QueryableByName)]
struct Median {
    #[diesel(sql_type = t::Nullable<t::Integer>)]
    took_ms: Option<i32>,
}

/// Returns the median duration of the last hundred completed activations, in whole seconds, rounded up. `None` without
/// any. An index holds them in this order.
pub(crate) async fn estimate(mut c: &Conn, _: &Scope) -> Result<Option<i64>> {
    let median: Median = sql_query(
        // Across all platforms: the number reveals nothing about a single one.
        "SELECT activation_took_ms() AS took_ms",
    )
    .get_result(&mut c)
    .await?;
    Ok(median.took_ms.map(|ms| ((i64::from(ms) + 999) / 1000).max(1)))
}

/// Inserts an activation, or updates one that the transaction has locked.
pub(crate) fn upsert(row: ActivationRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(a::feature_activations).values(row.clone()).on_conflict(a::id).do_update().set(row)
}

/// Sets a new tag for a manifest, which invalidates cached copies.
pub(crate) fn touch(tag: ManifestTag) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(m::manifests)
        .values(tag.clone())
        .on_conflict((m::entity_id, m::environment))
        .do_update()
        .set(tag)
}

/// Sets new tags for several manifests.
pub(crate) fn touch_all(
    mut tags: Vec<ManifestTag>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    // One statement can write a row only once.
    tags.sort_by(|one, other| one.key().cmp(&other.key()));
    tags.dedup_by(|one, other| one.key() == other.key());
    diesel::insert_into(m::manifests)
        .values(tags)
        .on_conflict((m::entity_id, m::environment))
        .do_update()
        .set((m::etag.eq(excluded(m::etag)), m::changed_at.eq(excluded(m::changed_at))))
}

/// Inserts activations, or updates those that the transaction has locked.
pub(crate) fn upsert_all(
    rows: Vec<ActivationRow>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(a::feature_activations).values(rows).on_conflict(a::id).do_update().set((
        (
            a::feature_version.eq(excluded(a::feature_version)),
            a::status.eq(excluded(a::status)),
            a::error.eq(excluded(a::error)),
            a::activated_at.eq(excluded(a::activated_at)),
            a::deactivated_at.eq(excluded(a::deactivated_at)),
            a::updated_at.eq(excluded(a::updated_at)),
            a::provision_job_id.eq(excluded(a::provision_job_id)),
            a::requested_at.eq(excluded(a::requested_at)),
        ),
        (
            a::stack_id.eq(excluded(a::stack_id)),
            a::package.eq(excluded(a::package)),
            a::has_service.eq(excluded(a::has_service)),
            a::live_version.eq(excluded(a::live_version)),
            a::live_package.eq(excluded(a::live_package)),
            a::service_url.eq(excluded(a::service_url)),
            a::has_data.eq(excluded(a::has_data)),
            a::took_ms.eq(excluded(a::took_ms)),
        ),
    ))
}
