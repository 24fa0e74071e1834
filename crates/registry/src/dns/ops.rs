//! What can be done with DNS records.

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

/// Makes a record. A fault of its host name is reported when the platform is known to exist.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: Result<NewDnsRecord>,
) -> Result<Done<DnsRecord>> {
    app.db
        .tx("dns_record.create", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, scope).await?;
            let new = new.clone()?;
            if new.stack_id != StackId::default_stack() {
                parents::lock_stack(c, scope, &new.stack_id).await?;
            }
            insert(tx, scope, new).await
        })
        .await
}

/// Makes a record, or brings the one that has the host name to what is said.
pub(crate) async fn ensure(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: NewDnsRecord,
) -> Result<Done<DnsRecord>> {
    app.db
        .tx("dns_record.ensure", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, scope).await?;
            match store::lock_named(c, &ctx.caller.scope, &new.hostname.clone().into_inner()).await? {
                Some(before) if before.platform_id != *scope.id() => Err(taken(&before)),
                Some(before) => {
                    let after = before.brought_to(new.clone());
                    let unchanged = DnsRecord { updated_at: before.updated_at, ..after.clone() } == before;
                    if unchanged { Ok(before) } else { replace(tx, scope, &before, after).await }
                }
                // One that is made beside this one is found by the next run.
                None => insert(tx, scope, new.clone()).await.map_err(|error| match error.kind() {
                    Kind::AlreadyExists => Error::concurrent_write("the record was made at the same time"),
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
            platforms::ops::hold(c, ctx, scope).await?;
            let before = store::lock(c, scope, id).await?;
            if before.stack_id != *stack {
                return Err(Error::not_found("DNS record", id));
            }
            ctx.check_match(&before)?;
            // Whoever adds a domain holds the record, and this transaction does so exclusively.
            let domains = domains::store::lock_of(c, scope, id).await?.len();
            if domains > 0 {
                let message = "The DNS record has custom domains that must go first";
                let dependents = json!({ "domains": domains });
                return Err(Error::new(Kind::HasDependents, message).with("dependents", dependents));
            }
            remove(tx, &before, &[]).await
        })
        .await
}

/// The same for services, whose calls may come twice, and after the platform itself is deleted: what is not there
/// needs no deletion. The custom domains of the record go with it.
pub(crate) async fn delete_once(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: DnsRecordId,
) -> Result<Done<()>> {
    app.db
        .tx("dns_record.delete_once", ctx, async |tx| {
            let c = tx.conn().await?;
            match store::lock(c, scope, id).await {
                Ok(before) => {
                    let domains = domains::store::lock_of(c, scope, id).await?;
                    remove(tx, &before, &domains).await
                }
                Err(error) if error.kind() == Kind::NotFound => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
}

async fn insert(tx: &mut Tx, scope: &PlatformScope, new: NewDnsRecord) -> Result<DnsRecord> {
    hold_resource(tx, scope, new.resource_id).await?;
    let row = new.into_row(scope.id());
    let record = Record::change("dns_record.created", super::AUDIT_TYPE, row.id).of(scope.id()).after(&row);
    let seen = row.clone();
    tx.finish((store::insert(row.clone()),), record, row, |constraint| meaning(constraint, &seen)).await
}

async fn replace(
    tx: &mut Tx,
    scope: &PlatformScope,
    before: &DnsRecord,
    after: DnsRecord,
) -> Result<DnsRecord> {
    hold_resource(tx, scope, after.resource_id).await?;
    let record = Record::change("dns_record.updated", super::AUDIT_TYPE, before.id)
        .of(scope.id())
        .before(before)
        .after(&after);
    let seen = after.clone();
    tx.finish((store::update(after.clone()),), record, after, |constraint| meaning(constraint, &seen)).await
}

async fn remove(tx: &mut Tx, before: &DnsRecord, domains: &[CustomDomainRow]) -> Result<()> {
    let platform = &before.platform_id;
    let mut record =
        Record::change("dns_record.deleted", super::AUDIT_TYPE, before.id).of(platform).before(before);
    for domain in domains {
        record = record
            .and("custom_domain.deleted", crate::domains::AUDIT_TYPE, domain.id)
            .of(platform)
            .before(&CustomDomain::from(domain));
    }
    let effect = (domains::store::delete_of(platform, before.id), store::delete(before.id));
    tx.finish(effect, record, (), |_| None).await
}

/// Holds the resource that a record is to lead to.
async fn hold_resource(tx: &mut Tx, scope: &PlatformScope, resource: ResourceId) -> Result<()> {
    match parents::lock_resource(tx.conn().await?, scope, resource).await? {
        Some(_) => Ok(()),
        None => Err(Error::invalid("resourceId", "must be a resource of the platform")),
    }
}

fn meaning(constraint: &str, row: &DnsRecord) -> Option<Error> {
    match constraint {
        "dns_records_hostname" => Some(taken(row)),
        "dns_records_stack" => Some(Error::not_found("stack", &row.stack_id)),
        _ => None,
    }
}

fn taken(row: &DnsRecord) -> Error {
    Error::new(Kind::AlreadyExists, format!("There is a DNS record of '{}' already", row.hostname))
        .with("hostname", &row.hostname)
}
