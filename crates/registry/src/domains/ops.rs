//! What can be done with custom domains.

use chrono::TimeDelta;
use domain::{Error, Kind, PlatformId, Result};
use kit::{Done, Record, WriteCtx, clock};
use uuid::Uuid;

use super::{
    model::{Change, Check, CustomDomain, NewDomain},
    store,
};
use crate::{App, dns, platforms};

/// Makes a domain; it is pending until it was seen to lead to its target.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    new: NewDomain,
) -> Result<Done<CustomDomain>> {
    let scope = ctx.ctx.caller.scope.platform(platform)?;
    app.db
        .tx("custom_domain.create", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, &scope).await?;
            dns::store::hold(c, &scope, new.dns_record_id)
                .await?
                .ok_or_else(|| Error::invalid("dnsRecordId", "must be a DNS record of the platform"))?;
            let row = new.clone().into_row(platform)?;
            let record =
                Record::change("custom_domain.created", "custom_domain", row.id).of(platform).after(&row);
            let taken = || {
                let message = format!("There is a custom domain '{}' already", new.hostname);
                Error::new(Kind::AlreadyExists, message).with("hostname", &new.hostname)
            };
            let on_constraint = |name: &str| (name == "custom_domains_hostname").then(taken);
            tx.finish((store::insert(row.clone()),), record, row, on_constraint).await
        })
        .await
}

/// Changes a domain.
pub(crate) async fn update(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    id: Uuid,
    change: Change,
) -> Result<Done<CustomDomain>> {
    let scope = ctx.ctx.caller.scope.platform(platform)?;
    app.db
        .tx("custom_domain.update", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, &scope).await?;
            let before = store::lock(c, &scope, id).await?;
            ctx.check_match(&before)?;
            let after = before.changed(change.clone())?;
            let record = Record::change("custom_domain.updated", "custom_domain", id)
                .of(platform)
                .before(&before)
                .after(&after);
            tx.finish((store::update(after.clone()),), record, after, |_| None).await
        })
        .await
}

/// Deletes a domain.
pub(crate) async fn delete(app: &App, ctx: &WriteCtx, platform: &PlatformId, id: Uuid) -> Result<Done<()>> {
    let scope = ctx.ctx.caller.scope.platform(platform)?;
    app.db
        .tx("custom_domain.delete", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, &scope).await?;
            let before = store::lock(c, &scope, id).await?;
            ctx.check_match(&before)?;
            let record =
                Record::change("custom_domain.deleted", "custom_domain", id).of(platform).before(&before);
            tx.finish((store::delete(id),), record, (), |_| None).await
        })
        .await
}

/// Gives at most `limit` domains that are due, has each due again after `pause`, and says whether more may be due.
pub(crate) async fn claim(
    app: &App,
    ctx: &WriteCtx,
    limit: u32,
    pause: TimeDelta,
) -> Result<(Vec<CustomDomain>, bool)> {
    let scope = &ctx.ctx.caller.scope;
    let done = app
        .db
        .tx("custom_domain.claim", ctx, async |tx| {
            let due = store::claim(tx.conn().await?, scope, limit.into(), clock::now(), pause).await?;
            let more = u32::try_from(due.len()).is_ok_and(|found| found == limit);
            // Those of a deleted platform have their turn too, so that they are in nobody's way.
            let live = due.into_iter().filter(|due| due.live).map(|due| due.domain);
            Ok((live.collect::<Vec<_>>(), more))
        })
        .await?;
    Ok(done.value)
}

/// Keeps what a check has found; an older one than is known changes nothing, and so does one of a domain that is gone
/// or pending no longer. That a domain does not lead to its target yet is no change of it, and not in the audit log.
pub(crate) async fn report(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    id: Uuid,
    check: Check,
) -> Result<Option<CustomDomain>> {
    let scope = ctx.ctx.caller.scope.platform(platform)?;
    let done = app
        .db
        .tx("custom_domain.report", ctx, async |tx| {
            let before = match store::lock(tx.conn().await?, &scope, id).await {
                Err(error) if error.kind() == Kind::NotFound => return Ok(None),
                found => found?,
            };
            let Some(after) = before.checked(&check) else { return Ok(Some(before)) };
            let record = if after.status == before.status {
                Record::default()
            } else {
                Record::change("custom_domain.verified", "custom_domain", id)
                    .of(platform)
                    .before(&before)
                    .after(&after)
            };
            tx.finish((store::update(after.clone()),), record, Some(after), |_| None).await
        })
        .await?;
    Ok(done.value)
}
