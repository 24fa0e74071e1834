//! End of a claim of a host name: it is verified and competing claims fail, or it lapses.

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

/// Number of lapsed claims that one transaction ends.
const BATCH: i64 = 100;

/// Stores the result of a check. A check changes nothing if it is older than the last one, or if the domain is gone or
/// no longer pending. A failed check changes no visible state and writes no audit entry.
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
            if check.failure.is_none() {
                lock_host(tx, scope, id).await?;
            }
            let before = match store::lock_for_update(tx.conn().await?, scope, id).await {
                Err(error) if error.kind() == Kind::NotFound => return Ok(None),
                found => found?,
            };
            apply_check(tx, ctx, &before, check.clone(), &app.settings.base_domain).await.map(Some)
        })
        .await?;
    Ok(done.value)
}

async fn apply_check(
    tx: &mut Tx,
    ctx: &WriteCtx,
    before: &CustomDomainRow,
    check: Check,
    base: &HostName,
) -> Result<CustomDomain> {
    let failure = check.failure.or_else(|| before.unverifiable(base));
    let Some(after) = before.checked(&Check { failure, ..check }) else {
        return Ok(CustomDomain::from(before));
    };
    if after.status != DomainStatus::Active {
        return store_check(tx, after).await;
    }
    match activate(tx, ctx, "custom_domain.verified", before, after).await {
        // The caller has just proven that the host name is theirs, so they may learn this.
        Err(error) if error.kind() == Kind::AlreadyExists => {
            let reason =
                format!("{} is active for another platform; ask an operator to release it", before.hostname);
            let rejected = Check { at: check.at, failure: Some(reason) };
            match before.checked(&rejected) {
                Some(after) => store_check(tx, after).await,
                None => Ok(CustomDomain::from(before)),
            }
        }
        result => result,
    }
}

/// Stores a check that changes no visible state.
async fn store_check(tx: &mut Tx, after: CustomDomainRow) -> Result<CustomDomain> {
    let domain = CustomDomain::from(&after);
    tx.finish((store::update(after),), Record::default(), domain, |_| None).await
}

/// Serializes the transactions that activate claims of one host name, before any of them locks a row. Does nothing if
/// the domain does not exist.
pub(super) async fn lock_host(tx: &mut Tx, scope: &PlatformScope, id: DomainId) -> Result<()> {
    match store::get(tx.conn().await?, scope, id).await {
        Ok(domain) => tx.advisory_lock(&format!("custom_domain:{}", domain.hostname)).await.map(drop),
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Activates a domain and fails the competing claims of its host name. The caller must have called [`lock_host`].
///
/// # Errors
/// [`Kind::AlreadyExists`] if the host name is active for another platform.
pub(super) async fn activate(
    tx: &mut Tx,
    ctx: &WriteCtx,
    action: &'static str,
    before: &CustomDomainRow,
    after: CustomDomainRow,
) -> Result<CustomDomain> {
    let competing = store::lock_competing(tx.conn().await?, &ctx.caller.scope, before).await?;
    if competing.iter().any(|other| other.status == DomainStatus::Active) {
        return Err(already_exists(&before.hostname));
    }
    let reason = format!("{} was verified for another platform", before.hostname);
    let domain = CustomDomain::from(&after);
    let mut record = Record::change(action, super::AUDIT_TYPE, before.id)
        .in_platform(&before.platform_id)
        .before(&CustomDomain::from(before))
        .after(&domain);
    let mut failing = Vec::new();
    for other in competing.iter().filter(|other| other.status == DomainStatus::Pending) {
        record = record
            .and("custom_domain.failed", super::AUDIT_TYPE, other.id)
            .in_platform(&other.platform_id)
            .before(&CustomDomain::from(other))
            .after(&CustomDomain::from(&other.failed(reason.clone())));
        failing.push(other.id);
    }
    let effect = (store::update(after), store::fail(failing, reason, clock::now()));
    // A process of an earlier version does not take the lock. The next run finds the other domain active.
    let on_constraint = |name: &str| {
        (name == "custom_domains_hostname_active")
            .then(|| Error::concurrent_write("another claim of the host name was verified at the same time"))
    };
    tx.finish(effect, record, domain, on_constraint).await
}

/// Error for a host name with an existing claim of the same platform, or with a verified one of any platform.
pub(super) fn already_exists(hostname: &HostName) -> Error {
    Error::new(Kind::AlreadyExists, format!("Custom domain '{hostname}' already exists."))
        .with("hostname", hostname)
}

/// Ends a batch of claims that were not verified in time.
pub(super) async fn lapse(app: &App, ctx: &WriteCtx) -> Result<()> {
    let scope = &ctx.caller.scope;
    app.db
        .tx("custom_domain.lapse", ctx, async |tx| {
            let lapsed = store::lock_lapsed(tx.conn().await?, scope, BATCH, clock::now()).await?;
            if lapsed.is_empty() {
                return Ok(());
            }
            let reason = "its claim lapsed, because it was not verified in time; set the status to 'pending' to renew it";
            let mut record = Record::default();
            for domain in &lapsed {
                record = record
                    .and("custom_domain.lapsed", super::AUDIT_TYPE, domain.id)
                    .in_platform(&domain.platform_id)
                    .before(&CustomDomain::from(domain))
                    .after(&CustomDomain::from(&domain.failed(reason.to_owned())));
            }
            let ids = lapsed.iter().map(|domain| domain.id).collect();
            tx.finish((store::fail(ids, reason.to_owned(), clock::now()),), record, (), |_| None).await
        })
        .await
        .map(drop)
}
