//! Use cases of bindings. Every change makes the gateways drop their cached grants of the user, also an addition.

use database::{Record, Tx};
use domain::{Error, Grant, Kind, Name, Result};
use identity::{Ctx, Done, WriteCtx};
use uuid::Uuid;

use super::{model::BindingRow, store, view::Binding};
use crate::{
    App,
    grants::{self, LocatedGrant},
    revocations::{self, Revocation, Revoked},
};

/// Maximum number of bindings per user. Each request of the user carries all of them in a header, and they are set in the
/// database session before each statement.
const MAX_BINDINGS: i64 = 200;

/// Creates a binding.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    subject: Name,
    grant: Grant,
) -> Result<Done<(Binding, Revocation)>> {
    if let Some(done) = app.db.replay(ctx).await? {
        return Ok(done);
    }
    let located = grants::authorize(app, ctx, grant).await?;
    let row = BindingRow::new(subject, located, &ctx.caller.id);
    let done = app.db.tx("binding.create", ctx, async |tx| insert(tx, &row).await).await?;
    if !done.dry_run {
        app.revocations.publish_and_wait(&done.value.1).await;
    }
    Ok(done)
}

async fn insert(tx: &mut Tx, row: &BindingRow) -> Result<(Binding, Revocation)> {
    check_limit(tx, &row.subject).await?;
    let revocation = record_change(tx, row).await?;
    let binding = Binding::from(row);
    let record = record("binding.created", row).after(&binding);
    let on_constraint = |constraint: &str| (constraint == "bindings_once").then(|| already_exists(row));
    tx.finish((store::insert(row.clone()),), record, (binding, revocation), on_constraint).await
}

/// Rejects a new binding when the user has reached the limit.
async fn check_limit(tx: &mut Tx, subject: &Name) -> Result<()> {
    let c = tx.advisory_lock(&format!("bindings of {subject}")).await?;
    if store::count_by_subject(c, subject).await? < MAX_BINDINGS {
        return Ok(());
    }
    let message = format!(
        "User '{subject}' has {MAX_BINDINGS} bindings, which is the limit. Grant a wider scope instead."
    );
    Err(Error::new(Kind::QuotaExceeded, message).with("quota", "bindings").with("limit", MAX_BINDINGS))
}

fn already_exists(row: &BindingRow) -> Error {
    let message = format!("User '{}' already has this binding.", row.subject);
    Error::new(Kind::AlreadyExists, message).with("subject", &row.subject)
}

/// Rejects a caller who cannot delete a binding.
pub(crate) async fn check_access(app: &App, ctx: &Ctx, id: Uuid) -> Result<()> {
    let binding = app.db.read(ctx, async |c| store::get(c, id).await).await?;
    check_administered(ctx, &binding)
}

fn check_administered(ctx: &Ctx, binding: &BindingRow) -> Result<()> {
    let own = ctx.caller.grants();
    if grants::administers(own, &binding.grant()?, &binding.entity_line) {
        return Ok(());
    }
    Err(Error::not_found("binding", binding.id))
}

/// Deletes a binding. When the function returns, the gateways no longer accept the grant.
pub(crate) async fn delete(app: &App, ctx: &WriteCtx, id: Uuid) -> Result<Done<Revocation>> {
    let done = app
        .db
        .tx("binding.delete", ctx, async |tx| {
            let before = store::lock_for_update(tx.conn().await?, id).await?;
            check_administered(ctx, &before)?;
            ctx.check_match(&Binding::from(&before))?;
            delete_locked(tx, &before).await
        })
        .await?;
    if !done.dry_run {
        app.revocations.publish_and_wait(&done.value).await;
    }
    Ok(done)
}

async fn delete_locked(tx: &mut Tx, before: &BindingRow) -> Result<Revocation> {
    let revocation = record_change(tx, before).await?;
    let record = record("binding.deleted", before).before(&Binding::from(before));
    tx.finish((store::delete(before.id),), record, revocation, |_| None).await
}

/// Creates a binding on behalf of a service, unless it exists.
pub(crate) async fn ensure(app: &App, ctx: &WriteCtx, subject: &Name, grant: &Grant) -> Result<()> {
    let done = app
        .db
        .tx("binding.ensure", ctx, async |tx| {
            if store::find_for_update(tx.conn().await?, subject, grant).await?.is_some() {
                return Ok(None);
            }
            let located = LocatedGrant { grant: grant.clone(), path: Vec::new() };
            let row = BindingRow::new(subject.clone(), located, &ctx.caller.id);
            let revocation = insert_or_retry(tx, &row).await?;
            Ok(Some(revocation))
        })
        .await?;
    publish(app, done.value).await;
    Ok(())
}

/// Inserts a binding. If another request inserts the same binding at the same time, the retry finds it.
async fn insert_or_retry(tx: &mut Tx, row: &BindingRow) -> Result<Revocation> {
    check_limit(tx, &row.subject).await?;
    let revocation = record_change(tx, row).await?;
    let record = record("binding.created", row).after(&Binding::from(row));
    let on_constraint = |constraint: &str| {
        (constraint == "bindings_once")
            .then(|| Error::concurrent_write("the binding was created at the same time"))
    };
    // The value must be that of the whole transaction, because it is stored for repetitions.
    tx.finish((store::insert(row.clone()),), record, Some(revocation.clone()), on_constraint).await?;
    Ok(revocation)
}

/// Deletes a binding on behalf of a service, if it exists.
pub(crate) async fn remove(app: &App, ctx: &WriteCtx, subject: &Name, grant: &Grant) -> Result<()> {
    let done = app
        .db
        .tx("binding.remove", ctx, async |tx| {
            let Some(before) = store::find_for_update(tx.conn().await?, subject, grant).await? else {
                return Ok(None);
            };
            let revocation = record_change(tx, &before).await?;
            let record = record("binding.deleted", &before).before(&Binding::from(&before));
            tx.finish((store::delete(before.id),), record, Some(revocation), |_| None).await
        })
        .await?;
    publish(app, done.value).await;
    Ok(())
}

async fn publish(app: &App, revocation: Option<Revocation>) {
    if let Some(revocation) = revocation {
        app.revocations.publish_and_wait(&revocation).await;
    }
}

/// Records that the grants of a user have changed.
async fn record_change(tx: &mut Tx, row: &BindingRow) -> Result<Revocation> {
    revocations::record(tx.conn().await?, Revoked::Subject(row.subject.to_string())).await
}

fn record(action: &'static str, row: &BindingRow) -> Record {
    let record = Record::change(action, "binding", row.id);
    match &row.platform_id {
        Some(platform) => record.in_platform(platform),
        None => record,
    }
}
