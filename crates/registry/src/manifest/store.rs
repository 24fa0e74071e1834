//! Statement of the manifest.

use chrono::{DateTime, Utc};
use database::Conn;
use diesel::{
    Queryable,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{Nullable, Text, Timestamptz},
};
use diesel_async::RunQueryDsl;
use domain::{EntityId, PlatformId, Result, resource::Environment};
use identity::PlatformScope;

use crate::visibility::{self, VisibleTo};

/// The entity and the tag of its manifest, with one of its features. An entity without features has one row.
#[derive(Debug, Queryable)]
pub(super) struct ManifestRow {
    pub(super) entity_since: DateTime<Utc>,
    pub(super) etag: Option<String>,
    pub(super) changed_at: Option<DateTime<Utc>>,
    pub(super) feature: Option<String>,
    pub(super) version: Option<String>,
    pub(super) package: Option<String>,
    pub(super) service_url: Option<String>,
}

type Columns = (
    Timestamptz,
    Nullable<Text>,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
);

/// Written by hand, so that it stays prepared.
struct ManifestQuery<'a> {
    platform: &'a PlatformId,
    entity: &'a EntityId,
    environment: Environment,
    client_tags: &'a str,
    visible: VisibleTo<EntityIdColumn, visibility::Entity>,
}

/// Column of the entity's id in the statement.
#[derive(Debug, Clone, Copy, QueryId)]
struct EntityIdColumn;

impl QueryFragment<Pg> for EntityIdColumn {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("e.id");
        Ok(())
    }
}

impl QueryId for ManifestQuery<'_> {
    type QueryId = ManifestQuery<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for ManifestQuery<'_> {
    type SqlType = Columns;
}

impl QueryFragment<Pg> for ManifestQuery<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT e.created_at, m.etag, m.changed_at, a.feature_id, a.live_version, a.live_package, a.service_url \
             FROM entities e LEFT JOIN platforms p ON p.id = e.platform_id \
             LEFT JOIN manifests m ON m.entity_id = e.id AND m.environment = ",
        );
        out.push_bind_param::<Text, _>(&self.environment)?;
        out.push_sql(
            " LEFT JOIN feature_activations a ON a.entity_id = m.entity_id AND a.environment = m.environment \
             AND a.live_version IS NOT NULL AND strpos(",
        );
        // A client with the current tag needs no features.
        out.push_bind_param::<Text, _>(self.client_tags)?;
        // The row of the platform may be invisible to the caller, so a function checks that it exists.
        out.push_sql(
            ", m.etag) = 0 WHERE (p.deleted_at IS NULL AND p.id IS NOT NULL OR home_status(e.platform_id) IS NOT NULL) \
             AND e.deleted_at IS NULL AND e.platform_id = ",
        );
        out.push_bind_param::<Text, _>(self.platform)?;
        out.push_sql(" AND e.id = ");
        out.push_bind_param::<Text, _>(self.entity)?;
        out.push_sql(" AND ");
        self.visible.walk_ast(out.reborrow())?;
        out.push_sql(" ORDER BY a.feature_id");
        Ok(())
    }
}

/// Returns the rows of an entity's manifest, by feature; none if the entity does not exist. `client_tags` are the tags
/// that the client sent, any number of them.
pub(super) async fn rows(
    mut c: &Conn,
    scope: &PlatformScope,
    entity: &EntityId,
    environment: Environment,
    client_tags: &str,
) -> Result<Vec<ManifestRow>> {
    Ok(ManifestQuery {
        platform: scope.id(),
        entity,
        environment,
        client_tags,
        visible: visibility::via_entity(scope, EntityIdColumn),
    }
    .load(&mut c)
    .await?)
}
