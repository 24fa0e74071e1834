//! What can be done with keys.

use database::Record;
use domain::{ApiKey, Error, Result};
use identity::{Ctx, Done, WriteCtx};
use runtime::clock;
use uuid::Uuid;

use super::{
    model::{KeyRow, NewKey},
    store,
    view::Key,
};
use crate::{
    App, grants,
    revocations::{self, Revocation, What},
};

/// Makes a key. It is given beside the answer that is kept for repetitions, which does not hold it, and only where it
/// is a key: not for a repetition, and not after a dry run.
pub(crate) async fn create(app: &App, ctx: &WriteCtx, new: NewKey) -> Result<(Done<Key>, Option<ApiKey>)> {
    if let Some(done) = app.db.replay(ctx).await? {
        return Ok((done, None));
    }
    let placed = grants::permit(app, ctx, new.grant.clone()).await?;
    let key = ApiKey::generate();
    let row = new.into_row(&key, placed, &ctx.caller.id);
    let done = app
        .db
        .tx("key.create", ctx, async |tx| {
            let made = Key::from(&row);
            let record = record("key.created", &row).after(&made);
            let insert = store::insert(row.clone(), key.secret_digest());
            tx.finish((insert,), record, made, |_| None).await
        })
        .await?;
    let shown = (!done.replayed && !done.dry_run).then_some(key);
    Ok((done, shown))
}

/// Refuses a caller who may not revoke a key.
pub(crate) async fn may_revoke(app: &App, ctx: &Ctx, id: Uuid) -> Result<()> {
    let key = app.db.read(ctx, async |c| store::get(c, id).await).await?;
    administered(ctx, &key)
}

fn administered(ctx: &Ctx, key: &KeyRow) -> Result<()> {
    let own = ctx.caller.grants();
    if grants::administers(own, &key.grant()?, &key.entity_line) {
        return Ok(());
    }
    Err(Error::not_found("key", key.id))
}

/// Revokes a key. It is not believed any more when this has ended.
pub(crate) async fn revoke(app: &App, ctx: &WriteCtx, id: Uuid) -> Result<Done<Revocation>> {
    let done = app
        .db
        .tx("key.revoke", ctx, async |tx| {
            let c = tx.conn().await?;
            let before = store::lock(c, id).await?;
            administered(ctx, &before)?;
            let seen = Key::from(&before);
            ctx.check_match(&seen.clone().unused())?;
            let revocation = revocations::note(c, What::Key(id)).await?;
            let now = clock::now();
            let after = Key { revoked_at: Some(now), ..seen.clone() };
            let record = record("key.revoked", &before).before(&seen).after(&after);
            tx.finish((store::revoke(id, now),), record, revocation, |_| None).await
        })
        .await?;
    if !done.dry_run {
        app.revocations.spread(&done.value).await;
    }
    Ok(done)
}

fn record(action: &'static str, key: &KeyRow) -> Record {
    let record = Record::change(action, "key", key.id);
    match &key.platform_id {
        Some(platform) => record.in_platform(platform),
        None => record,
    }
}
