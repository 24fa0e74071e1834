//! Use cases of resources. Each is one transaction.

use database::{Conn, Record, Tx};
use domain::{EntityId, Error, Kind, ResourceId, Result, StackId, resource::ResourceStatus};
use identity::{Done, PlatformScope, WriteCtx};

use super::{
    model::{Change, NewResource, Resource},
    store,
};
use crate::{App, entities, parents, platforms};

/// Returns true if the id stands for the platform itself instead of an entity. Always false for a caller
/// limited to some entities.
pub(crate) fn is_whole_platform(scope: &PlatformScope, entity: &EntityId) -> bool {
    scope.subtree_roots().is_none() && entity.as_str() == scope.id().as_str()
}

/// Registers a resource. Reports an invalid name only after the platform is known to exist.
pub(crate) async fn register(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: Result<NewResource>,
) -> Result<Done<Resource>> {
    app.db
        .tx("resource.register", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let new = new.clone()?;
            // The foreign key does not reject deleted stacks.
            if new.stack_id != StackId::default_stack() {
                parents::lock_stack(c, scope, &new.stack_id).await.map_err(|error| match error.kind() {
                    Kind::NotFound => unknown_stack(),
                    _ => error,
                })?;
            }
            insert(tx, scope, new).await
        })
        .await
}

/// Registers a resource, or updates the existing one with the name.
pub(crate) async fn ensure(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: NewResource,
) -> Result<Done<Resource>> {
    app.db
        .tx("resource.ensure", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            match store::lock_by_name(c, &ctx.caller.scope, &new.cf_name.clone().into_inner()).await? {
                Some(before) if before.platform_id != *scope.id() => Err(already_exists(&before)),
                Some(before) => {
                    let after = before.updated_from(new.clone());
                    let unchanged = Resource { updated_at: before.updated_at, ..after.clone() } == before;
                    if unchanged {
                        Ok(before)
                    } else {
                        replace(tx, scope, "resource.updated", &before, after).await
                    }
                }
                // The next run finds the resource that a concurrent request registered.
                None => insert(tx, scope, new.clone()).await.map_err(|error| match error.kind() {
                    Kind::AlreadyExists => {
                        Error::concurrent_write("another request registered the resource at the same time")
                    }
                    _ => error,
                }),
            }
        })
        .await
}

/// Updates a resource. The status `deleted` deletes it.
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
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let before = store::lock_for_update(c, scope, id).await?;
            ctx.check_match(&before)?;
            let after = before.changed(change.clone());
            let action =
                if after.status == ResourceStatus::Deleted { "resource.deleted" } else { "resource.updated" };
            replace(tx, scope, action, &before, after).await
        })
        .await
}

/// Deletes a resource from the catalogue. With `include_deleted`, also one of a deleted platform.
pub(crate) async fn delete(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: ResourceId,
    include_deleted: bool,
) -> Result<Done<Resource>> {
    if !include_deleted {
        return update(app, ctx, scope, id, deletion()).await;
    }
    app.db
        .tx("resource.delete", ctx, async |tx| {
            let before = store::lock_for_update(tx.conn().await?, scope, id).await?;
            ctx.check_match(&before)?;
            replace(tx, scope, "resource.deleted", &before, before.changed(deletion())).await
        })
        .await
}

/// Deletes a resource for a service. Calls may be repeated and may come after the deletion of the platform; a missing
/// resource is no error.
pub(crate) async fn delete_once(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: ResourceId,
) -> Result<Done<()>> {
    app.db
        .tx("resource.delete_once", ctx, async |tx| {
            match store::lock_for_update(tx.conn().await?, scope, id).await {
                Ok(before) => {
                    let after = before.changed(deletion());
                    replace(tx, scope, "resource.deleted", &before, after).await.map(drop)
                }
                Err(error) if error.kind() == Kind::NotFound => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
}

fn deletion() -> Change {
    Change { status: Some(ResourceStatus::Deleted), ..Change::default() }
}

async fn insert(tx: &mut Tx, scope: &PlatformScope, new: NewResource) -> Result<Resource> {
    let path = lock_owner(tx.conn().await?, scope, &new.entity_id).await?;
    let row = new.into_row(scope.id());
    let record =
        with_counters(Record::change("resource.registered", super::AUDIT_TYPE, row.id), &row, &path, 1)
            .in_platform(scope.id())
            .after(&row);
    let row_for_errors = row.clone();
    tx.finish((store::insert(row.clone()),), record, row, |constraint| {
        constraint_error(constraint, &row_for_errors)
    })
    .await
}

/// Writes a change: the row and the record.
async fn replace(
    tx: &mut Tx,
    scope: &PlatformScope,
    action: &'static str,
    before: &Resource,
    after: Resource,
) -> Result<Resource> {
    let mut record = Record::change(action, super::AUDIT_TYPE, before.id);
    if after.entity_id != before.entity_id {
        let path = lock_owner(tx.conn().await?, scope, &after.entity_id).await?;
        record = with_counters(record, &after, &path, 1);
    }
    if after.entity_id != before.entity_id || after.status == ResourceStatus::Deleted {
        let path = entities::store::path_with_self(tx.conn().await?, &before.entity_id).await?;
        record = with_counters(record, before, &path, -1);
    }
    let record = record.in_platform(scope.id()).before(before).after(&after);
    let row_for_errors = after.clone();
    tx.finish((store::update(after.clone()),), record, after, |constraint| {
        constraint_error(constraint, &row_for_errors)
    })
    .await
}

/// Locks the owner of a resource against deletion. Returns its id and its ancestors, or nothing for the platform
/// itself.
async fn lock_owner(c: &Conn, scope: &PlatformScope, entity: &EntityId) -> Result<Vec<EntityId>> {
    if is_whole_platform(scope, entity) {
        return Ok(Vec::new());
    }
    let owner = entities::store::lock_shared(c, scope, entity).await?;
    owner.map(|owner| owner.path_with_self()).ok_or_else(|| Error::not_found("entity", entity))
}

fn constraint_error(constraint: &str, row: &Resource) -> Option<Error> {
    match constraint {
        "resources_cf_name_live" => Some(already_exists(row)),
        "resources_stack" => Some(unknown_stack()),
        _ => None,
    }
}

fn unknown_stack() -> Error {
    Error::invalid("stackId", "must be a stack of the platform, or 'default'")
}

fn already_exists(row: &Resource) -> Error {
    Error::new(Kind::AlreadyExists, format!("Resource '{}' already exists.", row.cf_name))
        .with("cfName", &row.cf_name)
}

/// Adds a resource to the counters of its lists. `path` contains its entity and the entity's ancestors.
fn with_counters(record: Record, row: &Resource, path: &[EntityId], by: i64) -> Record {
    let platform = &row.platform_id;
    let record = record
        .count(store::counter(platform, None), by)
        .count(store::counter(platform, Some(&row.entity_id)), by);
    let above = path.iter().map(|entity| store::counter_below(platform, entity.as_str()));
    above.fold(record, |record, counter| record.count(counter, by))
}
