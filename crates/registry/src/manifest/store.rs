//! The one statement of the manifest.

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

use crate::reach::{self, Reached};

/// The entity with the tag of its manifest, once for each of its features; without features, once.
#[derive(Debug, Queryable)]
pub(super) struct Line {
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
struct Lines<'a> {
    platform: &'a PlatformId,
    entity: &'a EntityId,
    environment: Environment,
    seen: &'a str,
    reached: Reached<Column, reach::Entity>,
}

/// The entity of the statement.
#[derive(Debug, Clone, Copy, QueryId)]
struct Column;

impl QueryFragment<Pg> for Column {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("e.id");
        Ok(())
    }
}

impl QueryId for Lines<'_> {
    type QueryId = Lines<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Lines<'_> {
    type SqlType = Columns;
}

impl QueryFragment<Pg> for Lines<'_> {
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
        // Whoever has seen this state gets no features.
        out.push_bind_param::<Text, _>(self.seen)?;
        // Who sees but the entity does not see the row of its platform, and asks whether it is there.
        out.push_sql(
            ", m.etag) = 0 WHERE (p.deleted_at IS NULL AND p.id IS NOT NULL OR home_status(e.platform_id) IS NOT NULL) \
             AND e.deleted_at IS NULL AND e.platform_id = ",
        );
        out.push_bind_param::<Text, _>(self.platform)?;
        out.push_sql(" AND e.id = ");
        out.push_bind_param::<Text, _>(self.entity)?;
        out.push_sql(" AND ");
        self.reached.walk_ast(out.reborrow())?;
        out.push_sql(" ORDER BY a.feature_id");
        Ok(())
    }
}

/// The lines of an entity's manifest, by feature; none when there is no such entity. `seen` is what the client says it
/// has: any number of tags.
pub(super) async fn lines(
    mut c: &Conn,
    scope: &PlatformScope,
    entity: &EntityId,
    environment: Environment,
    seen: &str,
) -> Result<Vec<Line>> {
    Ok(Lines { platform: scope.id(), entity, environment, seen, reached: reach::by_entity(scope, Column) }
        .load(&mut c)
        .await?)
}
