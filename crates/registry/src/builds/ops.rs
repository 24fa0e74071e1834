//! Use cases of builds. Each is one transaction.

use database::{Record, Tx};
use domain::{BuildId, Error, Result, build::BuildStatus};
use identity::{Done, PlatformScope, WriteCtx};

use super::{
    model::{BuildRow, Change, NewBuild},
    store,
    view::Build,
};
use crate::{App, platforms};

/// Records the start of a build. Keeps a build that is recorded already.
pub(crate) async fn start(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: NewBuild,
) -> Result<Done<Build>> {
    app.db
        .tx("build.start", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            if let Some(existing) = store::find(c, scope, new.id).await? {
                return Ok(Build::from(&existing));
            }
            let row = new.clone().into_row(scope.id());
            let build = Build::from(&row);
            let record = Record::change("build.started", super::AUDIT_TYPE, row.id)
                .in_platform(scope.id())
                .after(&build);
            tx.finish((store::insert(row),), record, build, |_| None).await
        })
        .await
}

/// Records the end of a build. Keeps a build that ended with the same status.
pub(crate) async fn finish(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: BuildId,
    status: BuildStatus,
    deployment: Option<String>,
) -> Result<Done<Build>> {
    app.db
        .tx("build.finish", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let before = store::lock_for_update(c, scope, id).await?;
            if before.completed_at.is_some() && before.build_status == status {
                return Ok(Build::from(&before));
            }
            let after = before.finished(status, deployment.clone());
            write(tx, "build.finished", &before, after).await
        })
        .await
}

/// Updates a build.
pub(crate) async fn update(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: BuildId,
    change: Change,
) -> Result<Done<Build>> {
    app.db
        .tx("build.update", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let before = store::lock_for_update(c, scope, id).await?;
            ctx.check_match(&Build::from(&before))?;
            let after = before.changed(change.clone());
            write(tx, "build.updated", &before, after).await
        })
        .await
}

/// Writes a change: the row and the record.
async fn write(tx: &mut Tx, action: &'static str, before: &BuildRow, after: BuildRow) -> Result<Build> {
    let build = Build::from(&after);
    let record = Record::change(action, super::AUDIT_TYPE, before.id)
        .in_platform(&before.platform_id)
        .before(&Build::from(before))
        .after(&build);
    let on_constraint = |constraint: &str| {
        (constraint == "builds_ends_after_start")
            .then(|| Error::invalid("completedAt", "must not be before the build's start"))
    };
    tx.finish((store::update(after),), record, build, on_constraint).await
}
