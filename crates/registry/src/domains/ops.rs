//! Use cases of custom domains. Each is one transaction.

use chrono::TimeDelta;
use database::Record;
use domain::{DomainId, Error, Result, resource::DomainStatus};
use identity::{Done, PlatformScope, WriteCtx};
use runtime::clock;

use super::{
    model::{Change, NewDomain},
    store, verification,
    view::CustomDomain,
};
use crate::{App, parents, platforms};

fn claim_period(app: &App) -> Result<TimeDelta> {
    TimeDelta::from_std(app.settings.domains.claim_period).map_err(Error::internal)
}

/// Creates a pending domain. Reports invalid host names only after the platform is known to exist.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: Result<NewDomain>,
) -> Result<Done<CustomDomain>> {
    app.db
        .tx("custom_domain.create", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let new = new.clone()?;
            parents::lock_dns_record(c, scope, new.dns_record_id)
                .await?
                .ok_or_else(|| Error::invalid("dnsRecordId", "must be a DNS record of the platform"))?;
            let row = new.into_row(scope.id(), claim_period(app)?)?;
            let domain = CustomDomain::from(&row);
            let record = Record::change("custom_domain.created", super::AUDIT_TYPE, row.id)
                .in_platform(scope.id())
                .after(&domain);
            let hostname = row.hostname.clone();
            let on_constraint = |name: &str| {
                (name == "custom_domains_hostname_of_platform")
                    .then(|| verification::already_exists(&hostname))
            };
            tx.finish((store::insert(row),), record, domain, on_constraint).await
        })
        .await
}

/// Updates a domain.
pub(crate) async fn update(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: DomainId,
    change: Change,
) -> Result<Done<CustomDomain>> {
    app.db
        .tx("custom_domain.update", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            if change.status == Some(DomainStatus::Active) && ctx.caller.is_operator() {
                verification::lock_host(tx, scope, id).await?;
            }
            let before = store::lock_for_update(tx.conn().await?, scope, id).await?;
            let previous = CustomDomain::from(&before);
            ctx.check_match(&previous)?;
            if !ctx.caller.is_operator() {
                before.reject_self_verification(&change)?;
            }
            let after = before.changed(change.clone(), claim_period(app)?)?;
            if after.status == DomainStatus::Active && before.status != DomainStatus::Active {
                return verification::activate(tx, ctx, "custom_domain.updated", &before, after).await;
            }
            let domain = CustomDomain::from(&after);
            let record = Record::change("custom_domain.updated", super::AUDIT_TYPE, id)
                .in_platform(scope.id())
                .before(&previous)
                .after(&domain);
            tx.finish((store::update(after),), record, domain, |_| None).await
        })
        .await
}

/// Deletes a domain.
pub(crate) async fn delete(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: DomainId,
) -> Result<Done<()>> {
    app.db
        .tx("custom_domain.delete", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let before = CustomDomain::from(&store::lock_for_update(c, scope, id).await?);
            ctx.check_match(&before)?;
            let record = Record::change("custom_domain.deleted", super::AUDIT_TYPE, id)
                .in_platform(scope.id())
                .before(&before);
            tx.finish((store::delete(id),), record, (), |_| None).await
        })
        .await
}

/// Ends lapsed claims, then returns at most `limit` due domains and whether more may be due. The returned ones are due
/// again after `pause`.
pub(crate) async fn claim(
    app: &App,
    ctx: &WriteCtx,
    limit: u32,
    pause: TimeDelta,
) -> Result<(Vec<CustomDomain>, bool)> {
    verification::lapse(app, ctx).await?;
    let scope = &ctx.caller.scope;
    let done = app
        .db
        .tx("custom_domain.claim", ctx, async |tx| {
            let due = store::claim(tx.conn().await?, scope, limit.into(), clock::now(), pause).await?;
            let more = u32::try_from(due.len()).is_ok_and(|found| found == limit);
            // Domains of deleted platforms are claimed too, so that they do not block others, but are not returned.
            let live =
                due.into_iter().filter(|due| due.platform_exists).map(|due| CustomDomain::from(&due.domain));
            Ok((live.collect::<Vec<_>>(), more))
        })
        .await?;
    Ok(done.value)
}
