//! What can be done with bindings. Whoever keeps what a person holds is told to forget it, also when it is more now.

use database::{Record, Tx};
use domain::{Error, Grant, Kind, Name, Result};
use identity::{Ctx, Done, WriteCtx};
use uuid::Uuid;

use super::{model::BindingRow, store, view::Binding};
use crate::{
    App,
    grants::{self, Placed},
    revocations::{self, Revocation, What},
};

/// The most that a person is bound to. All of it travels with each of their requests, in a header, and is told to the
/// database before each statement.
const MOST_BINDINGS: i64 = 200;

/// Grants something to a person.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    subject: Name,
    grant: Grant,
) -> Result<Done<(Binding, Revocation)>> {
    if let Some(done) = app.db.replay(ctx).await? {
        return Ok(done);
    }
    let placed = grants::permit(app, ctx, grant).await?;
    let row = BindingRow::new(subject, placed, &ctx.caller.id);
    let done = app.db.tx("binding.create", ctx, async |tx| insert(tx, &row).await).await?;
    if !done.dry_run {
        app.revocations.spread(&done.value.1).await;
    }
    Ok(done)
}

async fn insert(tx: &mut Tx, row: &BindingRow) -> Result<(Binding, Revocation)> {
    make_room(tx, &row.subject).await?;
    let changed = changed(tx, row).await?;
    let binding = Binding::from(row);
    let record = record("binding.created", row).after(&binding);
    let meaning = |constraint: &str| (constraint == "bindings_once").then(|| taken(row));
    tx.finish((store::insert(row.clone()),), record, (binding, changed), meaning).await
}

/// Refuses one more binding than a person may have.
async fn make_room(tx: &mut Tx, subject: &Name) -> Result<()> {
    let c = tx.advisory_lock(&format!("bindings of {subject}")).await?;
    if store::count_of(c, subject).await? < MOST_BINDINGS {
        return Ok(());
    }
    let message =
        format!("'{subject}' has {MOST_BINDINGS} bindings, and nobody has more: grant what reaches further");
    Err(Error::new(Kind::QuotaExceeded, message).with("quota", "bindings").with("limit", MOST_BINDINGS))
}

fn taken(row: &BindingRow) -> Error {
    let message = format!("'{}' holds this grant already", row.subject);
    Error::new(Kind::AlreadyExists, message).with("subject", &row.subject)
}

/// Refuses a caller who may not delete a binding.
pub(crate) async fn may_delete(app: &App, ctx: &Ctx, id: Uuid) -> Result<()> {
    let binding = app.db.read(ctx, async |c| store::get(c, id).await).await?;
    administered(ctx, &binding)
}

fn administered(ctx: &Ctx, binding: &BindingRow) -> Result<()> {
    let own = ctx.caller.grants();
    if grants::administers(own, &binding.grant()?, &binding.entity_line) {
        return Ok(());
    }
    Err(Error::not_found("binding", binding.id))
}

/// Takes a grant of a person back. It is not believed any more when this has ended.
pub(crate) async fn delete(app: &App, ctx: &WriteCtx, id: Uuid) -> Result<Done<Revocation>> {
    let done = app
        .db
        .tx("binding.delete", ctx, async |tx| {
            let before = store::lock(tx.conn().await?, id).await?;
            administered(ctx, &before)?;
            ctx.check_match(&Binding::from(&before))?;
            remove_held(tx, &before).await
        })
        .await?;
    if !done.dry_run {
        app.revocations.spread(&done.value).await;
    }
    Ok(done)
}

async fn remove_held(tx: &mut Tx, before: &BindingRow) -> Result<Revocation> {
    let changed = changed(tx, before).await?;
    let record = record("binding.deleted", before).before(&Binding::from(before));
    tx.finish((store::delete(before.id),), record, changed, |_| None).await
}

/// Has a person hold a grant that a service vouches for.
pub(crate) async fn ensure(app: &App, ctx: &WriteCtx, subject: &Name, grant: &Grant) -> Result<()> {
    let done = app
        .db
        .tx("binding.ensure", ctx, async |tx| {
            if store::lock_same(tx.conn().await?, subject, grant).await?.is_some() {
                return Ok(None);
            }
            let placed = Placed { grant: grant.clone(), line: Vec::new() };
            let row = BindingRow::new(subject.clone(), placed, &ctx.caller.id);
            let made = insert_beside(tx, &row).await?;
            Ok(Some(made))
        })
        .await?;
    spread(app, done.value).await;
    Ok(())
}

/// One that is made beside this one is found by the next run.
async fn insert_beside(tx: &mut Tx, row: &BindingRow) -> Result<Revocation> {
    make_room(tx, &row.subject).await?;
    let changed = changed(tx, row).await?;
    let record = record("binding.created", row).after(&Binding::from(row));
    let meaning = |constraint: &str| {
        (constraint == "bindings_once")
            .then(|| Error::concurrent_write("the binding was made at the same time"))
    };
    // The answer that is kept for repetitions is that of the transaction, whose value this is.
    tx.finish((store::insert(row.clone()),), record, Some(changed.clone()), meaning).await?;
    Ok(changed)
}

/// Has a person not hold a grant.
pub(crate) async fn remove(app: &App, ctx: &WriteCtx, subject: &Name, grant: &Grant) -> Result<()> {
    let done = app
        .db
        .tx("binding.remove", ctx, async |tx| {
            let Some(before) = store::lock_same(tx.conn().await?, subject, grant).await? else {
                return Ok(None);
            };
            let changed = changed(tx, &before).await?;
            let record = record("binding.deleted", &before).before(&Binding::from(&before));
            tx.finish((store::delete(before.id),), record, Some(changed), |_| None).await
        })
        .await?;
    spread(app, done.value).await;
    Ok(())
}

async fn spread(app: &App, revocation: Option<Revocation>) {
    if let Some(revocation) = revocation {
        app.revocations.spread(&revocation).await;
    }
}

/// Notes that what a person holds has changed.
async fn changed(tx: &mut Tx, row: &BindingRow) -> Result<Revocation> {
    revocations::note(tx.conn().await?, What::Subject(row.subject.to_string())).await
}

fn record(action: &'static str, row: &BindingRow) -> Record {
    let record = Record::change(action, "binding", row.id);
    match &row.platform_id {
        Some(platform) => record.in_platform(platform),
        None => record,
    }
}
