//! The statements of feature activations. Each takes the caller's scope first.

use database::{Conn, Tally, counter_total};
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
    reach,
    schema::{
        feature_activations::dsl as a, manifests::dsl as m, stack_features::dsl as f, stacks::dsl as s,
    },
};

/// Counter of the activations of an entity.
pub(crate) fn counter(platform: &PlatformId, entity: &EntityId) -> String {
    format!("features:{platform}:{entity}")
}

/// The recount of [`counter`].
pub(crate) const TALLY: Tally = Tally {
    name: "features",
    sql: "SELECT e.id AS parent, 'features:' || e.platform_id || ':' || e.id AS key, \
              (SELECT count(*) FROM feature_activations a WHERE a.entity_id = e.id) AS found \
          FROM (SELECT id, platform_id FROM entities WHERE id > $1 ORDER BY id LIMIT $2) e",
};

/// The activation of a feature.
pub(crate) async fn get(
    mut c: &Conn,
    scope: &PlatformScope,
    entity: &EntityId,
    feature: &Slug,
    environment: Environment,
) -> Result<ActivationRow> {
    a::feature_activations
        .filter(a::platform_id.eq(scope.id()))
        .filter(reach::by_entity(scope, a::entity_id))
        .filter(a::entity_id.eq(entity))
        .filter(a::environment.eq(environment))
        .filter(a::feature_id.eq(feature))
        .select(ActivationRow::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("feature", feature))
}

/// An activation by its own id.
pub(crate) async fn by_id(
    mut c: &Conn,
    scope: &PlatformScope,
    entity: &EntityId,
    id: ActivationId,
) -> Result<ActivationRow> {
    a::feature_activations
        .filter(a::platform_id.eq(scope.id()))
        .filter(reach::by_entity(scope, a::entity_id))
        .filter(a::entity_id.eq(entity))
        .filter(a::id.eq(id))
        .select(ActivationRow::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("feature activation", id))
}

/// The activation of a feature if there is one, held until the transaction ends.
pub(crate) async fn lock(
    mut c: &Conn,
    scope: &PlatformScope,
    key: &ActivationKey,
) -> Result<Option<ActivationRow>> {
    Ok(a::feature_activations
        .filter(a::platform_id.eq(scope.id()))
        .filter(reach::by_entity(scope, a::entity_id))
        .filter(a::entity_id.eq(&key.entity))
        .filter(a::environment.eq(key.environment))
        .filter(a::feature_id.eq(&key.feature))
        .select(ActivationRow::as_select())
        .for_no_key_update()
        .first(&mut c)
        .await
        .optional()?)
}

/// A page of an entity's activations, newest first.
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
            .filter(reach::by_entity(scope, a::entity_id))
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

/// The feature as the tenant's stack names it: the default stack first, then the oldest. It is named so until the
/// transaction ends.
pub(crate) async fn named(
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

/// The activations of a stack's features, of all entities, held until the transaction ends.
pub(crate) async fn of_stack(
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

/// The activations of a platform that run and that no job after this one has to do with, held until the transaction ends.
pub(crate) async fn running_before(
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

/// The activations of a tenant in production that belong to a stack or are of one of these features, held until the
/// transaction ends.
pub(crate) async fn of_tenant(
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

/// The tenant that a stack belongs to, and the types of resources that the features of the stack share.
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

/// What other entities have of a service.
#[derive(Debug, Clone, Default, QueryableByName)]
pub(crate) struct Sharers {
    /// The versions that they run.
    #[diesel(sql_type = t::Array<t::Text>)]
    pub(crate) versions: Vec<Version>,
    /// Whether one of them has data there, or is about to.
    #[diesel(sql_type = t::Bool)]
    pub(crate) have_data: bool,
}

/// What entities other than the activation's own have of its service.
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

/// How long an activation takes, in whole seconds: the median of the newest hundred that were completed, read from an
/// index that holds them in this order. None when there was none.
pub(crate) async fn estimate(mut c: &Conn, _: &Scope) -> Result<Option<i64>> {
    let median: Median = sql_query(
        // In all platforms, of which the caller may see none: the number tells of none of them.
        "SELECT activation_took_ms() AS took_ms",
    )
    .get_result(&mut c)
    .await?;
    Ok(median.took_ms.map(|ms| ((i64::from(ms) + 999) / 1000).max(1)))
}

/// The insert of an activation, or the update of one that the transaction holds.
pub(crate) fn put(row: ActivationRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(a::feature_activations).values(row.clone()).on_conflict(a::id).do_update().set(row)
}

/// A new tag for a manifest; what was told under the old one is told anew.
pub(crate) fn touch(tag: ManifestTag) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(m::manifests)
        .values(tag.clone())
        .on_conflict((m::entity_id, m::environment))
        .do_update()
        .set(tag)
}

/// The same for several manifests.
pub(crate) fn touch_all(
    mut tags: Vec<ManifestTag>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    // One statement writes a row once.
    tags.sort_by(|one, other| one.key().cmp(&other.key()));
    tags.dedup_by(|one, other| one.key() == other.key());
    diesel::insert_into(m::manifests)
        .values(tags)
        .on_conflict((m::entity_id, m::environment))
        .do_update()
        .set((m::etag.eq(excluded(m::etag)), m::changed_at.eq(excluded(m::changed_at))))
}

/// The inserts of activations, or the updates of those that the transaction holds.
pub(crate) fn put_all(
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
