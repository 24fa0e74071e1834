//! The statements of secrets. Each takes the caller's scope first.

use database::Conn;
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;
use domain::{ResourceId, Result, SecretName};
use identity::PlatformScope;

use super::model::SecretRow;
use crate::{reach, schema::secrets::dsl as s};

/// What is known of a resource's secrets, newest first; a resource has few.
pub(crate) async fn of_resource(
    mut c: &Conn,
    scope: &PlatformScope,
    resource: ResourceId,
) -> Result<Vec<SecretRow>> {
    Ok(s::secrets
        .filter(s::platform_id.eq(scope.id()))
        .filter(reach::by_resource(scope, s::resource_id))
        .filter(s::resource_id.eq(resource))
        .select(SecretRow::as_select())
        .order((s::created_at.desc(), s::id.desc()))
        .load(&mut c)
        .await?)
}

/// A secret, held until the transaction ends.
pub(crate) async fn lock(
    mut c: &Conn,
    scope: &PlatformScope,
    resource: ResourceId,
    name: &SecretName,
) -> Result<Option<SecretRow>> {
    Ok(s::secrets
        .filter(s::platform_id.eq(scope.id()))
        .filter(reach::by_resource(scope, s::resource_id))
        .filter(s::resource_id.eq(resource))
        .filter(s::secret_name.eq(name))
        .select(SecretRow::as_select())
        .for_no_key_update()
        .first(&mut c)
        .await
        .optional()?)
}

/// The insert of a secret.
pub(crate) fn insert(row: SecretRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(s::secrets).values(row)
}

/// The update of a secret that the transaction holds.
pub(crate) fn update(row: SecretRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id = row.id;
    diesel::update(s::secrets.filter(s::id.eq(id))).set(row)
}
