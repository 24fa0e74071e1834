//! How a claim of a host name ends: verified, and then the others fail; or lapsed.

use database::{Record, Tx};
use domain::{DomainId, Error, HostName, Kind, Result, resource::DomainStatus};
use identity::{PlatformScope, WriteCtx};
use runtime::clock;

use super::{
    model::{Check, CustomDomainRow},
    store,
    view::CustomDomain,
};
use crate::App;

/// Claims that are ended by one transaction when they lapse.
const BATCH: i64 = 100;

/// Keeps what a check has found; an older one than is known changes nothing, and so does one of a domain that is gone
/// or pending no longer. That a domain does not lead to its target yet is no change of it, and not in the audit log.
pub(super) async fn report(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: DomainId,
    check: Check,
) -> Result<Option<CustomDomain>> {
    let done = app
        .db
        .tx("custom_domain.report", ctx, async |tx| {
            if check.not_yet.is_none() {
                hold_host(tx, scope, id).await?;
            }
            let before = match store::lock(tx.conn().await?, scope, id).await {
                Err(error) if error.kind() == Kind::NotFound => return Ok(None),
                found => found?,
            };
            judge(tx, ctx, &before, check.clone(), &app.own.base_domain).await.map(Some)
        })
        .await?;
    Ok(done.value)
}

async fn judge(
    tx: &mut Tx,
    ctx: &WriteCtx,
    before: &CustomDomainRow,
    check: Check,
    base: &HostName,
) -> Result<CustomDomain> {
    let not_yet = check.not_yet.or_else(|| before.impossible(base));
    let Some(after) = before.checked(&Check { not_yet, ..check }) else {
        return Ok(CustomDomain::from(before));
    };
    if after.status != DomainStatus::Active {
        return note(tx, after).await;
    }
    match activate(tx, ctx, "custom_domain.verified", before, after).await {
        // Revealed to whoever has just proven that the name is theirs.
        Err(error) if error.kind() == Kind::AlreadyExists => {
            let why = format!("{} is active for another platform; an operator can end that", before.hostname);
            let refused = Check { at: check.at, not_yet: Some(why) };
            match before.checked(&refused) {
                Some(after) => note(tx, after).await,
                None => Ok(CustomDomain::from(before)),
            }
        }
        result => result,
    }
}

/// Keeps the result of a check that changes nothing that is shown.
async fn note(tx: &mut Tx, after: CustomDomainRow) -> Result<CustomDomain> {
    let domain = CustomDomain::from(&after);
    tx.finish((store::update(after),), Record::default(), domain, |_| None).await
}

/// Lets those who make a claim of one host name active wait for each other, before any of them holds a row. A domain that
/// is not there is left to whoever looks for it next.
pub(super) async fn hold_host(tx: &mut Tx, scope: &PlatformScope, id: DomainId) -> Result<()> {
    match store::get(tx.conn().await?, scope, id).await {
        Ok(domain) => tx.hold(&format!("custom_domain:{}", domain.hostname)).await.map(drop),
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a domain active, and fails the claims of others for its host name. Its caller has called [`hold_host`].
///
/// # Errors
/// [`Kind::AlreadyExists`] when it is active for another platform.
pub(super) async fn activate(
    tx: &mut Tx,
    ctx: &WriteCtx,
    action: &'static str,
    before: &CustomDomainRow,
    after: CustomDomainRow,
) -> Result<CustomDomain> {
    let rivals = store::lock_rivals(tx.conn().await?, &ctx.caller.scope, before).await?;
    if rivals.iter().any(|rival| rival.status == DomainStatus::Active) {
        return Err(taken(&before.hostname));
    }
    let why = format!("{} was verified for another platform", before.hostname);
    let domain = CustomDomain::from(&after);
    let mut record = Record::change(action, super::AUDIT_TYPE, before.id)
        .of(&before.platform_id)
        .before(&CustomDomain::from(before))
        .after(&domain);
    let mut failing = Vec::new();
    for rival in rivals.iter().filter(|rival| rival.status == DomainStatus::Pending) {
        record = record
            .and("custom_domain.failed", super::AUDIT_TYPE, rival.id)
            .of(&rival.platform_id)
            .before(&CustomDomain::from(rival))
            .after(&CustomDomain::from(&rival.failed(why.clone())));
        failing.push(rival.id);
    }
    let effect = (store::update(after), store::fail(failing, why, clock::now()));
    // A process of an earlier version waits for nobody; run again, this one finds the other active.
    let on_constraint = |name: &str| {
        (name == "custom_domains_hostname_active")
            .then(|| Error::concurrent_write("the host name was verified at the same time"))
    };
    tx.finish(effect, record, domain, on_constraint).await
}

/// The host name is taken: by a claim of the same platform, or by a verified one.
pub(super) fn taken(hostname: &HostName) -> Error {
    Error::new(Kind::AlreadyExists, format!("There is a custom domain '{hostname}' already"))
        .with("hostname", hostname)
}

/// Ends claims that were not verified in time, a batch of them.
pub(super) async fn lapse(app: &App, ctx: &WriteCtx) -> Result<()> {
    let scope = &ctx.caller.scope;
    app.db
        .tx("custom_domain.lapse", ctx, async |tx| {
            let lapsed = store::lock_lapsed(tx.conn().await?, scope, BATCH, clock::now()).await?;
            if lapsed.is_empty() {
                return Ok(());
            }
            let why = "its claim has lapsed: it was not verified in time, and status 'pending' renews it";
            let mut record = Record::default();
            for domain in &lapsed {
                record = record
                    .and("custom_domain.lapsed", super::AUDIT_TYPE, domain.id)
                    .of(&domain.platform_id)
                    .before(&CustomDomain::from(domain))
                    .after(&CustomDomain::from(&domain.failed(why.to_owned())));
            }
            let ids = lapsed.iter().map(|domain| domain.id).collect();
            tx.finish((store::fail(ids, why.to_owned(), clock::now()),), record, (), |_| None).await
        })
        .await
        .map(drop)
}
