//! Use cases of DNS records. Each is one transaction.

use database::{Record, Tx};
use domain::{DnsRecordId, Error, Kind, ResourceId, Result, StackId};
use identity::{Done, PlatformScope, WriteCtx};
use serde_json::json;

use super::{
    model::{DnsRecord, NewDnsRecord},
    store,
};
use crate::{
    App,
    domains::{self, model::CustomDomainRow, view::CustomDomain},
    parents, platforms,
};

/// Creates a record. Reports an invalid host name only after the platform is known to exist.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: Result<NewDnsRecord>,
) -> Result<Done<DnsRecord>> {
    app.db
        .tx("dns_record.create", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let new = new.clone()?;
            if new.stack_id != StackId::default_stack() {
                parents::lock_stack(c, scope, &new.stack_id).await?;
            }
            insert(tx, scope, new).await
        })
        .await
}

/// Creates a record, or updates the existing one with the host name.
pub(crate) async fn ensure(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: NewDnsRecord,
) -> Result<Done<DnsRecord>> {
    app.db
        .tx("dns_record.ensure", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            match store::lock_by_hostname(c, &ctx.caller.scope, &new.hostname.clone().into_inner()).await? {
                Some(before) if before.platform_id != *scope.id() => Err(already_exists(&before)),
                Some(before) => {
                    let after = before.updated_from(new.clone());
                    let unchanged = DnsRecord { updated_at: before.updated_at, ..after.clone() } == before;
                    if unchanged { Ok(before) } else { replace(tx, scope, &before, after).await }
                }
                // The next run finds the record that a concurrent request created.
                None => insert(tx, scope, new.clone()).await.map_err(|error| match error.kind() {
                    Kind::AlreadyExists => {
                        Error::concurrent_write("another request created the record at the same time")
                    }
                    _ => error,
                }),
            }
        })
        .await
}

/// Deletes a record of a stack.
pub(crate) async fn delete(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    stack: &StackId,
    id: DnsRecordId,
) -> Result<Done<()>> {
    app.db
        .tx("dns_record.delete", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let before = store::lock_for_update(c, scope, id).await?;
            if before.stack_id != *stack {
                return Err(Error::not_found("DNS record", id));
            }
            ctx.check_match(&before)?;
            // Excludes concurrent domains: adding one takes a shared lock on the record.
            let domains = domains::store::lock_by_record(c, scope, id).await?.len();
            if domains > 0 {
                let message = "The DNS record still has custom domains. Delete them first.";
                let dependents = json!({ "domains": domains });
                return Err(Error::new(Kind::HasDependents, message).with("dependents", dependents));
            }
            remove(tx, &before, &[]).await
        })
        .await
}

/// Deletes a record and its custom domains, for services. Calls may be repeated and may come after the deletion of the
/// platform; a missing record is no error.
pub(crate) async fn delete_once(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: DnsRecordId,
) -> Result<Done<()>> {
    app.db
        .tx("dns_record.delete_once", ctx, async |tx| {
            let c = tx.conn().await?;
            match store::lock_for_update(c, scope, id).await {
                Ok(before) => {
                    let domains = domains::store::lock_by_record(c, scope, id).await?;
                    remove(tx, &before, &domains).await
                }
                Err(error) if error.kind() == Kind::NotFound => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
}

async fn insert(tx: &mut Tx, scope: &PlatformScope, new: NewDnsRecord) -> Result<DnsRecord> {
    lock_resource(tx, scope, new.resource_id).await?;
    let row = new.into_row(scope.id());
    let record =
        Record::change("dns_record.created", super::AUDIT_TYPE, row.id).in_platform(scope.id()).after(&row);
    let row_for_errors = row.clone();
    tx.finish((store::insert(row.clone()),), record, row, |constraint| {
        constraint_error(constraint, &row_for_errors)
    })
    .await
}

async fn replace(
    tx: &mut Tx,
    scope: &PlatformScope,
    before: &DnsRecord,
    after: DnsRecord,
) -> Result<DnsRecord> {
    lock_resource(tx, scope, after.resource_id).await?;
    let record = Record::change("dns_record.updated", super::AUDIT_TYPE, before.id)
        .in_platform(scope.id())
        .before(before)
        .after(&after);
    let row_for_errors = after.clone();
    tx.finish((store::update(after.clone()),), record, after, |constraint| {
        constraint_error(constraint, &row_for_errors)
    })
    .await
}

async fn remove(tx: &mut Tx, before: &DnsRecord, domains: &[CustomDomainRow]) -> Result<()> {
    let platform = &before.platform_id;
    let mut record = Record::change("dns_record.deleted", super::AUDIT_TYPE, before.id)
        .in_platform(platform)
        .before(before);
    for domain in domains {
        record = record
            .and("custom_domain.deleted", crate::domains::AUDIT_TYPE, domain.id)
            .in_platform(platform)
            .before(&CustomDomain::from(domain));
    }
    let effect = (domains::store::delete_by_record(platform, before.id), store::delete(before.id));
    tx.finish(effect, record, (), |_| None).await
}

/// Locks the target resource of a record against deletion.
async fn lock_resource(tx: &mut Tx, scope: &PlatformScope, resource: ResourceId) -> Result<()> {
    match parents::lock_resource(tx.conn().await?, scope, resource).await? {
        Some(_) => Ok(()),
        None => Err(Error::invalid("resourceId", "must be a resource of the platform")),
    }
}

fn constraint_error(constraint: &str, row: &DnsRecord) -> Option<Error> {
    match constraint {
        "dns_records_hostname" => Some(already_exists(row)),
        "dns_records_stack" => Some(Error::not_found("stack", &row.stack_id)),
        _ => None,
    }
}

fn already_exists(row: &DnsRecord) -> Error {
    Error::new(Kind::AlreadyExists, format!("DNS record '{}' already exists.", row.hostname))
        .with("hostname", &row.hostname)
}
