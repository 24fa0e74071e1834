//! Statements of secrets. Each takes the connection, then the caller's scope.

use database::Conn;
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;
use domain::{ResourceId, Result, SecretName};
use identity::PlatformScope;

use super::model::SecretRow;
use crate::{schema::secrets::dsl as s, visibility};

/// Returns the secrets of a resource, newest first. A resource has few.
pub(crate) async fn by_resource(
    mut c: &Conn,
    scope: &PlatformScope,
    resource: ResourceId,
) -> Result<Vec<SecretRow>> {
    Ok(s::secrets
        .filter(s::platform_id.eq(scope.id()))
        .filter(visibility::via_resource(scope, s::resource_id))
        .filter(s::resource_id.eq(resource))
        .select(SecretRow::as_select())
        .order((s::created_at.desc(), s::id.desc()))
        .load(&mut c)
        .await?)
}

/// Locks a secret until the transaction ends, if it exists.
pub(crate) async fn lock_for_update(
    mut c: &Conn,
    scope: &PlatformScope,
    resource: ResourceId,
    name: &SecretName,
) -> Result<Option<SecretRow>> {
    Ok(s::secrets
        .filter(s::platform_id.eq(scope.id()))
        .filter(visibility::via_resource(scope, s::resource_id))
        .filter(s::resource_id.eq(resource))
        .filter(s::secret_name.eq(name))
        .select(SecretRow::as_select())
        .for_no_key_update()
        .first(&mut c)
        .await
        .optional()?)
}

/// Inserts a secret.
pub(crate) fn insert(row: SecretRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(s::secrets).values(row)
}

/// Updates a secret that the transaction has locked.
pub(crate) fn update(row: SecretRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id = row.id;
    diesel::update(s::secrets.filter(s::id.eq(id))).set(row)
}
