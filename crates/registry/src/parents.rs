//! Locks on the parents of a new row: the rows of other slices that it references.
//!
//! A lock keeps its row from being deleted, and the stack from being changed, until the transaction ends.

use database::Conn;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use domain::{DnsRecordId, Error, ResourceId, Result, StackId, deployment::StackStatus};
use identity::PlatformScope;

use crate::{
    schema::{dns_records::dsl as d, resources::dsl as r, stacks::dsl as s},
    visibility,
};

/// Locks a stack that is not deleted, and returns its status.
///
/// # Errors
/// [`domain::Kind::NotFound`].
pub(crate) async fn lock_stack(mut c: &Conn, scope: &PlatformScope, id: &StackId) -> Result<StackStatus> {
    s::stacks
        .filter(s::platform_id.eq(scope.id()))
        .filter(visibility::via_entity(scope, s::tenant_id))
        .filter(s::id.eq(id))
        .filter(s::deleted_at.is_null())
        .select(s::status)
        .for_share()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("stack", id))
}

/// Locks a resource that is not deleted, if it exists.
pub(crate) async fn lock_resource(
    mut c: &Conn,
    scope: &PlatformScope,
    id: ResourceId,
) -> Result<Option<ResourceId>> {
    Ok(r::resources
        .filter(r::platform_id.eq(scope.id()))
        .filter(visibility::via_entity(scope, r::entity_id))
        .filter(r::id.eq(id))
        .filter(r::deleted_at.is_null())
        .select(r::id)
        .for_key_share()
        .first(&mut c)
        .await
        .optional()?)
}

/// Locks a DNS record, if it exists.
pub(crate) async fn lock_dns_record(
    mut c: &Conn,
    scope: &PlatformScope,
    id: DnsRecordId,
) -> Result<Option<DnsRecordId>> {
    Ok(d::dns_records
        .filter(d::platform_id.eq(scope.id()))
        .filter(visibility::via_resource(scope, d::resource_id))
        .filter(d::id.eq(id))
        .select(d::id)
        .for_key_share()
        .first(&mut c)
        .await
        .optional()?)
}
