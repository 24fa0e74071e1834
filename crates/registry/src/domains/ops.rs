//! What can be done with custom domains.

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
    TimeDelta::from_std(app.own.domains.claim_period).map_err(Error::internal)
}

/// Makes a domain; it is pending until it was seen to lead to its target. A fault of its host names is reported when the
/// platform is known to exist.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: Result<NewDomain>,
) -> Result<Done<CustomDomain>> {
    app.db
        .tx("custom_domain.create", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, scope).await?;
            let new = new.clone()?;
            parents::lock_dns_record(c, scope, new.dns_record_id)
                .await?
                .ok_or_else(|| Error::invalid("dnsRecordId", "must be a DNS record of the platform"))?;
            let row = new.into_row(scope.id(), claim_period(app)?)?;
            let domain = CustomDomain::from(&row);
            let record = Record::change("custom_domain.created", super::AUDIT_TYPE, row.id)
                .of(scope.id())
                .after(&domain);
            let hostname = row.hostname.clone();
            let on_constraint = |name: &str| {
                (name == "custom_domains_hostname_of_platform").then(|| verification::taken(&hostname))
            };
            tx.finish((store::insert(row),), record, domain, on_constraint).await
        })
        .await
}

/// Changes a domain.
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
            platforms::ops::hold(c, ctx, scope).await?;
            if change.status == Some(DomainStatus::Active) && ctx.caller.is_operator() {
                verification::hold_host(tx, scope, id).await?;
            }
            let before = store::lock(tx.conn().await?, scope, id).await?;
            let seen = CustomDomain::from(&before);
            ctx.check_match(&seen)?;
            if !ctx.caller.is_operator() {
                before.refuse_self_verification(&change)?;
            }
            let after = before.changed(change.clone(), claim_period(app)?)?;
            if after.status == DomainStatus::Active && before.status != DomainStatus::Active {
                return verification::activate(tx, ctx, "custom_domain.updated", &before, after).await;
            }
            let domain = CustomDomain::from(&after);
            let record = Record::change("custom_domain.updated", super::AUDIT_TYPE, id)
                .of(scope.id())
                .before(&seen)
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
            platforms::ops::hold(c, ctx, scope).await?;
            let before = CustomDomain::from(&store::lock(c, scope, id).await?);
            ctx.check_match(&before)?;
            let record =
                Record::change("custom_domain.deleted", super::AUDIT_TYPE, id).of(scope.id()).before(&before);
            tx.finish((store::delete(id),), record, (), |_| None).await
        })
        .await
}

/// Gives at most `limit` domains that are due, has each due again after `pause`, and says whether more may be due.
/// Claims that have lapsed end first.
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
            // Those of a deleted platform have their turn too, so that they are in nobody's way.
            let live = due.into_iter().filter(|due| due.live).map(|due| CustomDomain::from(&due.domain));
            Ok((live.collect::<Vec<_>>(), more))
        })
        .await?;
    Ok(done.value)
}
