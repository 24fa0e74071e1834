//! Use cases of entities. Each is one transaction.

use database::{Record, Tx};
use domain::{
    EntityId, Error, Kind, Name, Result, Slug,
    entity::{EntityStatus, EntityType},
};
use identity::{Done, PlatformScope, WriteCtx};
use runtime::clock;

use super::{
    model::{EntityRow, NewEntity},
    store::{self, Dependents},
    view::Entity,
};
use crate::{App, platforms};

/// Creates an entity.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: NewEntity,
) -> Result<Done<Entity>> {
    app.db
        .tx("entity.create", ctx, async |tx| {
            platforms::ops::lock_shared(tx.conn().await?, ctx, scope).await?;
            if new.kind == EntityType::Tenant && scope.subtree_roots().is_none() {
                platforms::quota::check_tenants(tx, ctx, scope, &app.settings.quotas).await?;
            }
            insert(tx, scope, new.clone()).await
        })
        .await
}

/// Creates a tenant, or returns the existing one with the slug.
pub(crate) async fn ensure_tenant(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    name: Name,
    slug: Slug,
) -> Result<Done<Entity>> {
    let new = NewEntity { name, slug, kind: EntityType::Tenant, parent_id: None };
    app.db
        .tx("entity.ensure_tenant", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            match store::by_slug(c, scope, &new.slug).await? {
                Some(tenant) if tenant.kind == EntityType::Tenant => Ok(Entity::from(&tenant)),
                Some(_) => Err(already_exists(&new.slug)),
                // The next run finds the tenant that a concurrent request created.
                None => insert(tx, scope, new.clone()).await.map_err(|error| match error.kind() {
                    Kind::AlreadyExists => {
                        Error::concurrent_write("another request created the tenant at the same time")
                    }
                    _ => error,
                }),
            }
        })
        .await
}

/// Rejects a new tenant if the caller sees only some entities of the platform.
pub(super) fn reject_tenant(scope: &PlatformScope) -> Result<()> {
    if scope.subtree_roots().is_none() {
        return Ok(());
    }
    Err(Error::new(Kind::Forbidden, "Creating a tenant requires access to the whole platform."))
}

async fn insert(tx: &mut Tx, scope: &PlatformScope, new: NewEntity) -> Result<Entity> {
    new.check()?;
    if new.parent_id.is_none() {
        reject_tenant(scope)?;
    }
    let parent = match &new.parent_id {
        Some(id) => {
            let parent = store::lock_shared(tx.conn().await?, scope, id).await?;
            Some(parent.ok_or_else(|| Error::invalid("parentId", "must be an entity of the platform"))?)
        }
        None => None,
    };
    let row = new.into_row(scope.id(), parent.as_ref())?;
    let entity = Entity::from(&row);
    let record = with_counters(Record::change("entity.created", super::AUDIT_TYPE, &row.id), &row, 1)
        .in_platform(scope.id())
        .after(&entity);
    let slug = row.slug.clone();
    let on_constraint =
        |constraint: &str| (constraint == "entities_slug_live").then(|| already_exists(&slug));
    tx.finish((store::insert(row),), record, entity, on_constraint).await
}

fn already_exists(slug: &Slug) -> Error {
    Error::new(Kind::AlreadyExists, format!("Entity '{slug}' already exists on this platform."))
        .with("slug", slug)
}

/// Changes to an entity.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) name: Option<Name>,
    pub(crate) status: Option<EntityStatus>,
}

/// Updates an entity. The status `deleted` deletes it, under the same guards as [`delete`].
pub(crate) async fn update(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: &EntityId,
    change: Change,
) -> Result<Done<Entity>> {
    app.db
        .tx("entity.update", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let before = store::lock_for_update(c, scope, id).await?;
            ctx.check_match(&Entity::from(&before))?;
            let mut after = EntityRow { updated_at: clock::now(), ..before.clone() };
            after.name = change.name.clone().unwrap_or(after.name);
            after.status = change.status.unwrap_or(after.status);
            write(tx, scope, &before, after).await
        })
        .await
}

/// Deletes an entity without dependents.
pub(crate) async fn delete(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: &EntityId,
) -> Result<Done<Entity>> {
    update(app, ctx, scope, id, Change { status: Some(EntityStatus::Deleted), ..Change::default() }).await
}

/// Writes a change: the row and the record.
async fn write(
    tx: &mut Tx,
    scope: &PlatformScope,
    before: &EntityRow,
    mut after: EntityRow,
) -> Result<Entity> {
    let action = match after.status {
        EntityStatus::Deleted => "entity.deleted",
        now if now == before.status => "entity.updated",
        EntityStatus::Suspended => "entity.suspended",
        EntityStatus::Active => "entity.restored",
    };
    let mut record = Record::change(action, super::AUDIT_TYPE, &before.id);
    if after.status == EntityStatus::Deleted {
        // Excludes concurrent dependents: adding one takes a shared lock on the entity.
        let dependents = store::dependents(tx.conn().await?, scope, &before.id).await?;
        if dependents != Dependents::default() {
            let message = "The entity still has entities, stacks, resources or features. Delete them first.";
            return Err(Error::new(Kind::HasDependents, message).with("dependents", dependents));
        }
        after.deleted_at = Some(after.updated_at);
        record = with_counters(record, before, -1);
    }
    let entity = Entity::from(&after);
    let record = record.in_platform(scope.id()).before(&Entity::from(before)).after(&entity);
    tx.finish((store::update(after),), record, entity, |_| None).await
}

fn with_counters(record: Record, entity: &EntityRow, by: i64) -> Record {
    let platform = &entity.platform_id;
    let record = record
        .count(store::counter(platform, None), by)
        .count(store::counter(platform, Some(entity.kind)), by);
    let above = entity.path.iter().map(|ancestor| store::counter_below(platform, ancestor.as_str()));
    above.fold(record, |record, counter| record.count(counter, by))
}
