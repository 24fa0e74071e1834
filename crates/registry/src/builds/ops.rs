//! What can be done with builds.

use database::{Record, Tx};
use domain::{BuildId, Error, Result, build::BuildStatus};
use identity::{Done, PlatformScope, WriteCtx};

use super::{
    model::{BuildRow, Change, NewBuild},
    store,
    view::Build,
};
use crate::{App, platforms};

/// Records a build that has begun; one that is recorded already is left as it is.
pub(crate) async fn start(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: NewBuild,
) -> Result<Done<Build>> {
    app.db
        .tx("build.start", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, scope).await?;
            if let Some(begun) = store::find(c, scope, new.id).await? {
                return Ok(Build::from(&begun));
            }
            let row = new.clone().into_row(scope.id());
            let build = Build::from(&row);
            let record =
                Record::change("build.started", super::AUDIT_TYPE, row.id).of(scope.id()).after(&build);
            tx.finish((store::insert(row),), record, build, |_| None).await
        })
        .await
}

/// Records how a build ended; one that has ended so already is left as it is.
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
            platforms::ops::hold(c, ctx, scope).await?;
            let before = store::lock(c, scope, id).await?;
            if before.completed_at.is_some() && before.build_status == status {
                return Ok(Build::from(&before));
            }
            let after = before.finished(status, deployment.clone());
            write(tx, "build.finished", &before, after).await
        })
        .await
}

/// Changes a build.
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
            platforms::ops::hold(c, ctx, scope).await?;
            let before = store::lock(c, scope, id).await?;
            ctx.check_match(&Build::from(&before))?;
            let after = before.changed(change.clone());
            write(tx, "build.updated", &before, after).await
        })
        .await
}

/// The end of every change: the row and the record.
async fn write(tx: &mut Tx, action: &'static str, before: &BuildRow, after: BuildRow) -> Result<Build> {
    let build = Build::from(&after);
    let record = Record::change(action, super::AUDIT_TYPE, before.id)
        .of(&before.platform_id)
        .before(&Build::from(before))
        .after(&build);
    let on_constraint = |constraint: &str| {
        (constraint == "builds_ends_after_start")
            .then(|| Error::invalid("completedAt", "must not be before the build's start"))
    };
    tx.finish((store::update(after),), record, build, on_constraint).await
}
