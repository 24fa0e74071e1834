//! What can be done with resources.

use database::{Conn, Record, Tx};
use domain::{EntityId, Error, Kind, ResourceId, Result, StackId, resource::ResourceStatus};
use identity::{Done, PlatformScope, WriteCtx};

use super::{
    model::{Change, NewResource, Resource},
    store,
};
use crate::{App, entities, parents, platforms};

/// Whether the id stands for the platform as a whole rather than for one of its entities; to who sees but entities of it,
/// it stands for nothing.
pub(crate) fn is_platform(scope: &PlatformScope, entity: &EntityId) -> bool {
    scope.subtree_roots().is_none() && entity.as_str() == scope.id().as_str()
}

/// Registers a resource. A fault of its name is reported when the platform is known to exist.
pub(crate) async fn register(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: Result<NewResource>,
) -> Result<Done<Resource>> {
    app.db
        .tx("resource.register", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, scope).await?;
            let new = new.clone()?;
            // The constraint does not know of stacks that are deleted.
            if new.stack_id != StackId::default_stack() {
                parents::lock_stack(c, scope, &new.stack_id).await.map_err(|error| match error.kind() {
                    Kind::NotFound => no_stack(),
                    _ => error,
                })?;
            }
            insert(tx, scope, new).await
        })
        .await
}

/// Registers a resource, or brings the live one that has the name to what is said.
pub(crate) async fn ensure(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: NewResource,
) -> Result<Done<Resource>> {
    app.db
        .tx("resource.ensure", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, scope).await?;
            match store::lock_named(c, &ctx.caller.scope, &new.cf_name.clone().into_inner()).await? {
                Some(before) if before.platform_id != *scope.id() => Err(taken(&before)),
                Some(before) => {
                    let after = before.brought_to(new.clone());
                    let unchanged = Resource { updated_at: before.updated_at, ..after.clone() } == before;
                    if unchanged {
                        Ok(before)
                    } else {
                        replace(tx, scope, "resource.updated", &before, after).await
                    }
                }
                // One that is registered beside this one is found by the next run.
                None => insert(tx, scope, new.clone()).await.map_err(|error| match error.kind() {
                    Kind::AlreadyExists => {
                        Error::concurrent_write("the resource was registered at the same time")
                    }
                    _ => error,
                }),
            }
        })
        .await
}

/// Changes a resource; the status `deleted` deletes it.
pub(crate) async fn update(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: ResourceId,
    change: Change,
) -> Result<Done<Resource>> {
    app.db
        .tx("resource.update", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, scope).await?;
            let before = store::lock(c, scope, id).await?;
            ctx.check_match(&before)?;
            let after = before.changed(change.clone());
            let action =
                if after.status == ResourceStatus::Deleted { "resource.deleted" } else { "resource.updated" };
            replace(tx, scope, action, &before, after).await
        })
        .await
}

/// Deletes a resource from the catalogue; of a platform that is deleted only where `of_deleted` says so.
pub(crate) async fn delete(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: ResourceId,
    of_deleted: bool,
) -> Result<Done<Resource>> {
    if !of_deleted {
        return update(app, ctx, scope, id, deletion()).await;
    }
    app.db
        .tx("resource.delete", ctx, async |tx| {
            let before = store::lock(tx.conn().await?, scope, id).await?;
            ctx.check_match(&before)?;
            replace(tx, scope, "resource.deleted", &before, before.changed(deletion())).await
        })
        .await
}

/// The same for services, whose calls may come twice, and after the platform itself is deleted: what is not there
/// needs no deletion.
pub(crate) async fn delete_once(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: ResourceId,
) -> Result<Done<()>> {
    app.db
        .tx("resource.delete_once", ctx, async |tx| match store::lock(tx.conn().await?, scope, id).await {
            Ok(before) => {
                let after = before.changed(deletion());
                replace(tx, scope, "resource.deleted", &before, after).await.map(drop)
            }
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            Err(error) => Err(error),
        })
        .await
}

fn deletion() -> Change {
    Change { status: Some(ResourceStatus::Deleted), ..Change::default() }
}

async fn insert(tx: &mut Tx, scope: &PlatformScope, new: NewResource) -> Result<Resource> {
    let line = hold_owner(tx.conn().await?, scope, &new.entity_id).await?;
    let row = new.into_row(scope.id());
    let record = counted(Record::change("resource.registered", super::AUDIT_TYPE, row.id), &row, &line, 1)
        .of(scope.id())
        .after(&row);
    let seen = row.clone();
    tx.finish((store::insert(row.clone()),), record, row, |constraint| meaning(constraint, &seen)).await
}

/// The end of every change: the row and the record.
async fn replace(
    tx: &mut Tx,
    scope: &PlatformScope,
    action: &'static str,
    before: &Resource,
    after: Resource,
) -> Result<Resource> {
    let mut record = Record::change(action, super::AUDIT_TYPE, before.id);
    if after.entity_id != before.entity_id {
        let line = hold_owner(tx.conn().await?, scope, &after.entity_id).await?;
        record = counted(record, &after, &line, 1);
    }
    if after.entity_id != before.entity_id || after.status == ResourceStatus::Deleted {
        let line = entities::store::line(tx.conn().await?, &before.entity_id).await?;
        record = counted(record, before, &line, -1);
    }
    let record = record.of(scope.id()).before(before).after(&after);
    let seen = after.clone();
    tx.finish((store::update(after.clone()),), record, after, |constraint| meaning(constraint, &seen)).await
}

/// Holds the entity that a resource is to belong to, and returns it with its ancestors; none for the platform itself.
async fn hold_owner(c: &Conn, scope: &PlatformScope, entity: &EntityId) -> Result<Vec<EntityId>> {
    if is_platform(scope, entity) {
        return Ok(Vec::new());
    }
    let owner = entities::store::hold(c, scope, entity).await?;
    owner.map(|owner| owner.line()).ok_or_else(|| Error::not_found("entity", entity))
}

fn meaning(constraint: &str, row: &Resource) -> Option<Error> {
    match constraint {
        "resources_cf_name_live" => Some(taken(row)),
        "resources_stack" => Some(no_stack()),
        _ => None,
    }
}

fn no_stack() -> Error {
    Error::invalid("stackId", "must be a stack of the platform, or 'default'")
}

fn taken(row: &Resource) -> Error {
    Error::new(Kind::AlreadyExists, format!("There is a resource '{}' already", row.cf_name))
        .with("cfName", &row.cf_name)
}

/// Counts a resource in every list that has it; `line` is its entity and the ancestors of that.
fn counted(record: Record, row: &Resource, line: &[EntityId], by: i64) -> Record {
    let platform = &row.platform_id;
    let record = record
        .count(store::counter(platform, None), by)
        .count(store::counter(platform, Some(&row.entity_id)), by);
    let above = line.iter().map(|entity| store::counter_under(platform, entity.as_str()));
    above.fold(record, |record, counter| record.count(counter, by))
}
