//! What can be done with stacks.

use domain::{Error, Kind, PlatformId, Result};
use kit::{Done, PlatformScope, Record, WriteCtx, db::Tx};

use super::{
    model::{NewStack, Pinned, Stack},
    store, template,
};
use crate::{App, entities, features, platforms};

/// Makes a stack; with a template it is of the template's newest active version, and waits to be activated.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    new: NewStack,
) -> Result<Done<Stack>> {
    let scope = ctx.ctx.caller.scope.platform(platform)?;
    // A repetition is answered from its first run, whatever the stack registry says by now.
    if new.template.is_some()
        && let Some(done) = app.db.replay(ctx).await?
    {
        return Ok(done);
    }
    let pinned = pin(app, ctx, &new).await?;
    app.db
        .tx("stack.create", ctx, async |tx| insert(tx, ctx, &scope, new.clone(), pinned.clone()).await)
        .await
}

/// Makes a stack, or gives the one of the tenant that has the name.
pub(crate) async fn ensure(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    new: NewStack,
) -> Result<Done<Stack>> {
    let scope = ctx.ctx.caller.scope.platform(platform)?;
    let found = app
        .db
        .read(async |c| {
            let c = &*c;
            let stack = store::by_name(c, &scope, &new.tenant_id, &new.name);
            tokio::try_join!(platforms::store::live(c, &scope), stack).map(|(_, stack)| stack)
        })
        .await?;
    if let Some(stack) = found {
        return Ok(Done { value: stack, replayed: true, dry_run: false });
    }
    let pinned = pin(app, ctx, &new).await?;
    app.db
        .tx("stack.ensure", ctx, async |tx| {
            // One that was made since is given too.
            match store::by_name(tx.conn().await?, &scope, &new.tenant_id, &new.name).await? {
                Some(stack) => Ok(stack),
                None => insert(tx, ctx, &scope, new.clone(), pinned.clone()).await.map_err(|error| {
                    let met = error.kind() == Kind::AlreadyExists && error.details().contains_key("name");
                    if met { Error::met("the stack was made at the same time") } else { error }
                }),
            }
        })
        .await
}

async fn pin(app: &App, ctx: &WriteCtx, new: &NewStack) -> Result<Option<Pinned>> {
    match &new.template {
        Some(template) => template::newest_version(&app.stack_registry, &ctx.ctx, template).await.map(Some),
        None => Ok(None),
    }
}

async fn insert(
    tx: &mut Tx,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: NewStack,
    pinned: Option<Pinned>,
) -> Result<Stack> {
    let c = tx.conn().await?;
    platforms::ops::hold(c, ctx, scope).await?;
    if entities::store::hold(c, scope, &new.tenant_id).await?.is_none() {
        return Err(Error::invalid("tenantId", "must be an entity of the platform"));
    }
    let features = pinned.as_ref().map(|pinned| pinned.features.clone()).unwrap_or_default();
    let row = new.into_row(scope.id(), pinned);
    let features = features.into_iter().map(|feature| feature.into_row(&row)).collect();
    let record = Record::change("stack.created", "stack", &row.id).of(scope.id()).after(&row);
    let name = row.name.clone();
    let on_constraint = |constraint: &str| match constraint {
        "stacks_name" => Some(
            Error::new(Kind::AlreadyExists, format!("The tenant has a stack '{name}' already"))
                .with("name", &name),
        ),
        "stacks_default" => Some(
            Error::new(Kind::AlreadyExists, "The tenant has a default stack already").with("isDefault", true),
        ),
        _ => None,
    };
    let change = (store::insert(row.clone()), features::store::insert_named(features));
    tx.finish(change, record, row, on_constraint).await
}
