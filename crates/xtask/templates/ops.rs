//! Use cases of ${words}. Each is one transaction.

use database::Record;
use domain::{Error, Kind, Name, Result};
use identity::{Done, PlatformScope, WriteCtx};

use super::{
    AUDIT_TYPE,
    model::{Change, New${Singular}, ${Singular}, ${Singular}Id},
    store,
};
use crate::{App, platforms};

/// Creates a ${word}.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: New${Singular},
) -> Result<Done<${Singular}>> {
    app.db
        .tx("${singular}.create", ctx, async |tx| {
            platforms::ops::lock_shared(tx.conn().await?, ctx, scope).await?;
            let row = new.clone().into_row(scope.id());
            let record = Record::change("${singular}.created", AUDIT_TYPE, row.id)
                .in_platform(scope.id())
                .after(&row)
                .count(store::counter(scope.id()), 1);
            let title = row.title.clone();
            tx.finish((store::insert(row.clone()),), record, row, |constraint| {
                on_constraint(constraint, &title)
            })
            .await
        })
        .await
}

/// Updates a ${word}.
pub(crate) async fn update(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: ${Singular}Id,
    change: Change,
) -> Result<Done<${Singular}>> {
    app.db
        .tx("${singular}.update", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let before = store::lock_for_update(c, scope, id).await?;
            ctx.check_match(&before)?;
            let after = before.changed(change.clone());
            let record = Record::change("${singular}.updated", AUDIT_TYPE, id)
                .in_platform(scope.id())
                .before(&before)
                .after(&after);
            let title = after.title.clone();
            tx.finish((store::update(after.clone()),), record, after, |constraint| {
                on_constraint(constraint, &title)
            })
            .await
        })
        .await
}

/// Deletes a ${word}.
pub(crate) async fn delete(app: &App, ctx: &WriteCtx, scope: &PlatformScope, id: ${Singular}Id) -> Result<Done<()>> {
    app.db
        .tx("${singular}.delete", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let before = store::lock_for_update(c, scope, id).await?;
            ctx.check_match(&before)?;
            let record = Record::change("${singular}.deleted", AUDIT_TYPE, id)
                .in_platform(scope.id())
                .before(&before)
                .count(store::counter(scope.id()), -1);
            tx.finish((store::delete(id),), record, (), |_| None).await
        })
        .await
}

fn on_constraint(constraint: &str, title: &Name) -> Option<Error> {
    let error = || {
        let message = format!("${Word} '{title}' already exists on this platform.");
        Error::new(Kind::AlreadyExists, message).with("title", title)
    };
    (constraint == "${plural}_title").then(error)
}
