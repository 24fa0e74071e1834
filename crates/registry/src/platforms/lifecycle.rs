//! Statements of lifecycle events.

use database::{Conn, CounterSource, counter_total};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, LifecycleEventId, Limit, Page, PlatformId, Result};
use identity::PlatformScope;

use super::model::LifecycleEvent;
use crate::schema::lifecycle_events::dsl as e;

/// Counter of a platform's events.
pub(crate) fn counter(platform: &PlatformId) -> String {
    format!("lifecycle:{platform}")
}

/// Source of [`counter`].
pub(crate) const COUNTER_SOURCE: CounterSource = CounterSource {
    name: "lifecycle",
    sql: "SELECT p.id AS parent, 'lifecycle:' || p.id AS key, \
              (SELECT count(*) FROM lifecycle_events e WHERE e.platform_id = p.id) AS found \
          FROM (SELECT id FROM platforms WHERE id > $1 ORDER BY id LIMIT $2) p",
};

/// Returns a page of a platform's events, newest first.
pub(crate) async fn page(
    c: &Conn,
    scope: &PlatformScope,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<LifecycleEvent>> {
    let last = LifecycleEventId::parse(&after.id).unwrap_or(LifecycleEventId::MAX);
    let rows = database::newest!(
        e::lifecycle_events.filter(e::platform_id.eq(scope.id())).select(LifecycleEvent::as_select()),
        e,
        after,
        last,
        limit
    );
    let (mut pipeline, key) = (c, counter(scope.id()));
    let (rows, total) =
        tokio::try_join!(async { Ok(rows.load(&mut pipeline).await?) }, counter_total(c, &key))?;
    Ok(Page::new(rows, limit, total, &key, LifecycleEvent::cursor))
}

/// Returns the last event of a platform.
pub(crate) async fn newest(mut c: &Conn, scope: &PlatformScope) -> Result<Option<LifecycleEvent>> {
    Ok(e::lifecycle_events
        .filter(e::platform_id.eq(scope.id()))
        .select(LifecycleEvent::as_select())
        .order((e::created_at.desc(), e::id.desc()))
        .first(&mut c)
        .await
        .optional()?)
}

/// Inserts an event.
pub(crate) fn insert(row: LifecycleEvent) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(e::lifecycle_events).values(row)
}
