//! Use cases of keys.

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
    revocations::{self, Revocation, Revoked},
};

/// Creates a key. The response that is stored for repetitions does not contain the secret, so the function returns it
/// separately. A repetition and a dry run return no secret.
pub(crate) async fn create(app: &App, ctx: &WriteCtx, new: NewKey) -> Result<(Done<Key>, Option<ApiKey>)> {
    if let Some(done) = app.db.replay(ctx).await? {
        return Ok((done, None));
    }
    let located = grants::authorize(app, ctx, new.grant.clone()).await?;
    let key = ApiKey::generate();
    let row = new.into_row(&key, located, &ctx.caller.id);
    let done = app
        .db
        .tx("key.create", ctx, async |tx| {
            let created = Key::from(&row);
            let record = record("key.created", &row).after(&created);
            let insert = store::insert(row.clone(), key.secret_digest());
            tx.finish((insert,), record, created, |_| None).await
        })
        .await?;
    let shown = (!done.replayed && !done.dry_run).then_some(key);
    Ok((done, shown))
}

/// Rejects a caller who cannot revoke a key.
pub(crate) async fn check_access(app: &App, ctx: &Ctx, id: Uuid) -> Result<()> {
    let key = app.db.read(ctx, async |c| store::get(c, id).await).await?;
    check_administered(ctx, &key)
}

fn check_administered(ctx: &Ctx, key: &KeyRow) -> Result<()> {
    let own = ctx.caller.grants();
    if grants::administers(own, &key.grant()?, &key.entity_line) {
        return Ok(());
    }
    Err(Error::not_found("key", key.id))
}

/// Revokes a key. When the function returns, the gateways no longer accept the key.
pub(crate) async fn revoke(app: &App, ctx: &WriteCtx, id: Uuid) -> Result<Done<Revocation>> {
    let done = app
        .db
        .tx("key.revoke", ctx, async |tx| {
            let c = tx.conn().await?;
            let before = store::lock_for_update(c, id).await?;
            check_administered(ctx, &before)?;
            let current = Key::from(&before);
            ctx.check_match(&current.clone().without_usage())?;
            let revocation = revocations::record(c, Revoked::Key(id)).await?;
            let now = clock::now();
            let after = Key { revoked_at: Some(now), ..current.clone() };
            let record = record("key.revoked", &before).before(&current).after(&after);
            tx.finish((store::revoke(id, now),), record, revocation, |_| None).await
        })
        .await?;
    if !done.dry_run {
        app.revocations.publish_and_wait(&done.value).await;
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
