//! Use cases of platforms. Each is one transaction.

use database::{Conn, Db, Record, Tx};
use domain::{
    Error, JobId, Kind, Name, Patch, PlatformId, Result,
    job::JobType,
    platform::{PlatformEvent, PlatformStatus, Tier},
};
use identity::{Done, PlatformScope, WriteCtx};
use runtime::clock;
use serde_json::json;

use super::{
    lifecycle,
    model::{LifecycleEvent, NewPlatform, PlatformRow},
    quota, store,
    view::Platform,
};
use crate::{App, delivery::request_job};

/// Creates a platform.
pub(crate) async fn create(app: &App, ctx: &WriteCtx, new: NewPlatform) -> Result<Done<Platform>> {
    app.db
        .tx("platform.create", ctx, async |tx| {
            quota::check_platforms(tx, &app.settings.quotas, &new).await?;
            let row = new.clone().into_row();
            let event = LifecycleEvent::new(ctx, None, &row, None);
            let platform = Platform::from(&row);
            let record = Record::change("platform.created", super::AUDIT_TYPE, &row.id)
                .in_platform(&row.id)
                .after(&platform)
                .count(store::COUNTER, 1)
                .count(lifecycle::counter(&row.id), 1);
            let change = (store::insert(row), lifecycle::insert(event));
            tx.finish(change, record, platform, |constraint| {
                (constraint == "platforms_slug_live").then(|| already_exists(&new))
            })
            .await
        })
        .await
}

/// Creates a platform for a service, which chooses the id. Returns an existing platform with the same id and slug.
pub(crate) async fn create_once(
    app: &App,
    ctx: &WriteCtx,
    id: &PlatformId,
    new: NewPlatform,
) -> Result<Done<Platform>> {
    let slug = new.slug.clone();
    match create(app, ctx, NewPlatform { id: Some(id.clone()), ..new }).await {
        Err(error) => {
            let scope = ctx.platform(id)?;
            match app.db.read(ctx, async |c| store::get(c, &scope, true).await).await {
                Ok(existing) if existing.slug == slug => {
                    Ok(Done { value: Platform::from(&existing), replayed: true, dry_run: false })
                }
                _ => Err(error),
            }
        }
        created => created,
    }
}

fn already_exists(new: &NewPlatform) -> Error {
    Error::new(
        Kind::AlreadyExists,
        format!("The slug '{}' is already taken. Choose a different slug.", new.slug),
    )
    .with("slug", &new.slug)
}

/// Locks a platform against deletion while the transaction writes something that it owns. Rejects writes to a suspended
/// one.
pub(crate) async fn lock_shared(c: &Conn, ctx: &WriteCtx, scope: &PlatformScope) -> Result<()> {
    reject_suspended(ctx, store::lock_shared(c, scope).await?)
}

/// Locks a platform to change it, and checks `If-Match`.
async fn lock_for_update(tx: &mut Tx, ctx: &WriteCtx, scope: &PlatformScope) -> Result<PlatformRow> {
    let before = store::lock_for_update(tx.conn().await?, scope).await?;
    reject_suspended(ctx, before.status)?;
    ctx.check_match(&Platform::from(&before))?;
    Ok(before)
}

/// Rejects writes to a suspended platform, except by operators and services. Platform admins cannot lift a suspension.
fn reject_suspended(ctx: &WriteCtx, status: PlatformStatus) -> Result<()> {
    if status == PlatformStatus::Suspended && !ctx.caller.is_operator() {
        return Err(Error::new(
            Kind::PlatformSuspended,
            "The platform is suspended and cannot be changed. Ask an operator to restore it.",
        ));
    }
    Ok(())
}

/// Applies `event` to a platform.
pub(crate) async fn transition(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    event: PlatformEvent,
    reason: Option<&str>,
) -> Result<Done<Platform>> {
    app.db
        .tx("platform.transition", ctx, async |tx| {
            let before = lock_for_update(tx, ctx, scope).await?;
            let after = before.after(event, reason, app.settings.cancellation_period)?;
            let record = Record::change(action(event), super::AUDIT_TYPE, scope.id());
            write(tx, ctx, record, &before, after, reason).await
        })
        .await
}

/// Applies `event` for a service, whose calls may be repeated. Keeps a platform that already has the resulting status.
pub(crate) async fn transition_once(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    event: PlatformEvent,
    reason: Option<&str>,
) -> Result<Done<Platform>> {
    match transition(app, ctx, scope, event, reason).await {
        Err(error) if error.kind() == Kind::InvalidTransition || error.kind() == Kind::NotFound => {
            let now = app.db.read(ctx, async |c| store::get(c, scope, true).await).await?;
            if leads_to(event) == Some(now.status) {
                Ok(Done { value: Platform::from(&now), replayed: true, dry_run: false })
            } else {
                Err(error)
            }
        }
        result => result,
    }
}

/// Returns the status that an event always leads to.
fn leads_to(event: PlatformEvent) -> Option<PlatformStatus> {
    domain::platform::TRANSITIONS.iter().find(|(_, on, _)| *on == event).map(|(_, _, to)| *to)
}

/// Deletes a platform from the catalogue, whatever its state. Its infrastructure stays.
pub(crate) async fn delete(app: &App, ctx: &WriteCtx, scope: &PlatformScope) -> Result<Done<Platform>> {
    app.db
        .tx("platform.delete", ctx, async |tx| {
            let before = lock_for_update(tx, ctx, scope).await?;
            let after = before.deleted();
            write(
                tx,
                ctx,
                Record::change("platform.deleted", super::AUDIT_TYPE, scope.id()),
                &before,
                after,
                None,
            )
            .await
        })
        .await
}

/// Deletes a platform and requests the removal of its infrastructure.
pub(crate) async fn delete_and_deprovision(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    reason: Option<&str>,
) -> Result<Done<Platform>> {
    let (id, job) = (scope.id(), JobId::generate());
    app.db
        .tx("platform.delete_and_deprovision", ctx, async |tx| {
            let before = lock_for_update(tx, ctx, scope).await?;
            let after = before.after(PlatformEvent::Delete, reason, app.settings.cancellation_period)?;
            let record = Record::change("platform.deleted", super::AUDIT_TYPE, id);
            let input = json!({ "platformSlug": before.slug });
            let record = request_job(record, (JobType::DeprovisionPlatform, job), id, id, &input);
            let event = LifecycleEvent::new(ctx, Some(before.status), &after, reason).with_job(job);
            write_event(tx, record, &before, after, event).await
        })
        .await
}

/// Changes to a platform.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) name: Option<Name>,
    pub(crate) tier: Option<Tier>,
    pub(crate) event: Option<PlatformEvent>,
    pub(crate) cf_account_id: Patch<String>,
    pub(crate) repo_name: Patch<String>,
}

/// Updates a platform. A status goes through the same guards as the lifecycle verbs.
pub(crate) async fn update(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    change: Change,
) -> Result<Done<Platform>> {
    // A platform must not raise its own limits.
    if !ctx.caller.is_operator() && (change.tier.is_some() || change.cf_account_id != Patch::Keep) {
        let message = "Only an operator can change the tier and the account of a platform.";
        return Err(Error::new(Kind::Forbidden, message).with("fields", ["tier", "cfAccountId"]));
    }
    app.db
        .tx("platform.update", ctx, async |tx| {
            let before = lock_for_update(tx, ctx, scope).await?;
            let change = change.clone();
            let mut after = match change.event {
                Some(event) => before.after(event, None, app.settings.cancellation_period)?,
                None => PlatformRow { updated_at: clock::now(), ..before.clone() },
            };
            after.name = change.name.unwrap_or(after.name);
            after.tier = change.tier.unwrap_or(after.tier);
            after.cf_account_id = change.cf_account_id.apply(after.cf_account_id);
            after.repo_name = change.repo_name.apply(after.repo_name);
            let action = change.event.map_or("platform.updated", action);
            write(tx, ctx, Record::change(action, super::AUDIT_TYPE, scope.id()), &before, after, None).await
        })
        .await
}

/// Ends one platform whose paid period is over. Returns false if there is none.
pub(crate) async fn end_one_period(app: &App) -> Result<bool> {
    let ctx = WriteCtx::for_service(Db::service(&app.db), domain::id::uuid_v7().to_string());
    let done = app
        .db
        .tx("platform.period_end", &ctx, async |tx| {
            let scope = &ctx.caller.scope;
            let Some(before) = store::lock_one_to_end(tx.conn().await?, scope, clock::now()).await? else {
                return Ok(None);
            };
            let after = before.after(PlatformEvent::PeriodEnd, None, app.settings.cancellation_period)?;
            let record = Record::change(action(PlatformEvent::PeriodEnd), super::AUDIT_TYPE, &before.id);
            write(tx, &ctx, record, &before, after, None).await.map(Some)
        })
        .await?;
    Ok(done.value.is_some())
}

/// Writes a change: the row, its event if the status changed, and the record.
async fn write(
    tx: &mut Tx,
    ctx: &WriteCtx,
    record: Record,
    before: &PlatformRow,
    after: PlatformRow,
    reason: Option<&str>,
) -> Result<Platform> {
    if after.status == before.status {
        let platform = Platform::from(&after);
        let record = record.in_platform(&before.id).before(&Platform::from(before)).after(&platform);
        return tx.finish((store::update(after),), record, platform, |_| None).await;
    }
    let event = LifecycleEvent::new(ctx, Some(before.status), &after, reason);
    write_event(tx, record, before, after, event).await
}

/// Writes a change of status.
async fn write_event(
    tx: &mut Tx,
    record: Record,
    before: &PlatformRow,
    after: PlatformRow,
    event: LifecycleEvent,
) -> Result<Platform> {
    let platform = Platform::from(&after);
    let record = record.in_platform(&before.id).before(&Platform::from(before)).after(&platform);
    let mut record = record.count(lifecycle::counter(&before.id), 1);
    if after.status == PlatformStatus::Deleted {
        record = record.count(store::COUNTER, -1);
    }
    tx.finish((store::update(after), lifecycle::insert(event)), record, platform, |_| None).await
}

const fn action(event: PlatformEvent) -> &'static str {
    match event {
        PlatformEvent::Bootstrap => "platform.provisioning",
        PlatformEvent::Complete => "platform.activated",
        PlatformEvent::Fail => "platform.failed",
        PlatformEvent::Suspend => "platform.suspended",
        PlatformEvent::Restore => "platform.restored",
        PlatformEvent::Cancel => "platform.cancelled",
        PlatformEvent::PeriodEnd => "platform.ended",
        PlatformEvent::Delete => "platform.deleted",
    }
}
