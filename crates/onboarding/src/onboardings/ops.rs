//! The operations on onboardings.

use std::{collections::HashMap, time::Duration};

use database::{Conn, NoEffect, Record};
use domain::{Error, Kind, Name, PlatformId, Result, Slug, onboarding::SessionStatus, platform::Tier};
use identity::{ActorType, Caller, Ctx, Done, Scope, WriteCtx, scope_filter_enabled};
use rpc::{PeerCall, registry::CheckSlugRequest};
use runtime::clock;
use saga::{
    Discard, NewSaga, Operation, Pause, Resume, Saga, SagaStatus, StepRow, StepView, Supports,
    api::{self, LoadedSaga, SagaResource},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    model::{OnboardingInput, OnboardingRow, OnboardingView, StartedOnboarding, status},
    quota::{self, Quota},
    store,
};
use crate::{App, steps};

/// The request of a new onboarding.
#[derive(Debug, Clone)]
pub(crate) struct NewOnboarding {
    pub(crate) platform_name: Name,
    pub(crate) slug: Slug,
    pub(crate) tier: Tier,
    pub(crate) stack_template_id: Option<String>,
}

/// Rejects callers that may not start onboardings.
pub(super) fn may_start(caller: &Caller) -> Result<()> {
    if caller.is_operator() || caller.actor_type == ActorType::User {
        return Ok(());
    }
    let message = "Only operators and signed-in users can start an onboarding.";
    Err(Error::new(Kind::Forbidden, message))
}

/// Starts an onboarding. Its steps run even if this process dies after the commit.
pub(crate) async fn start(app: &App, ctx: &WriteCtx, new: NewOnboarding) -> Result<Done<StartedOnboarding>> {
    may_start(&ctx.caller)?;
    // A repeated request is replayed before the slug is checked, because the first request has reserved it.
    if let Some(done) = app.db.replay(ctx).await? {
        return Ok(done);
    }
    let slug = check_slug(app, ctx, &new.slug);
    let quota = match tokio::try_join!(slug, Quota::fetch(app, ctx, new.tier)) {
        Ok(((), quota)) => quota,
        // The slug may be reserved by a concurrent request with the same idempotency key.
        Err(error) => return app.db.replay(ctx).await?.ok_or(error),
    };
    let definition = steps::definition();
    let done = app
        .db
        .tx("onboarding.start", ctx, async |tx| {
            if let Some(quota) = &quota {
                quota.check(tx, ctx).await?;
            }
            let row = row(ctx, &new, app.session_lifetime);
            let input = serde_json::to_value(input(&row, quota::applies_to(ctx))).map_err(Error::internal)?;
            let saga = NewSaga {
                id: row.id,
                subject: row.platform_id.to_string(),
                input,
                deadline: Some(row.expires_at),
                fairness_key: ctx.caller.id.clone(),
            };
            let (saga, steps) = saga.rows(&definition, ctx);
            let started = StartedOnboarding {
                onboarding_id: row.id,
                job_id: Some(row.provision_job_id),
                status: SessionStatus::InProgress,
                steps: steps.iter().map(StepView::from).collect(),
            };
            let onboarding = OnboardingView::new(row.clone(), &saga, &steps);
            let record = Record::change("onboarding.started", "onboarding", row.id)
                .in_platform(&row.platform_id)
                .after(&onboarding)
                .count(store::COUNTER, 1);
            let change = (saga::insert(saga), saga::insert_steps(steps), store::insert(row));
            tx.finish(change, record, started, |name| {
                (name == SLUG_CONSTRAINT).then(|| slug_taken(&new.slug))
            })
            .await
        })
        .await?;
    app.wake.notify_one();
    Ok(done)
}

/// The constraint that reserves a slug for one onboarding in progress.
const SLUG_CONSTRAINT: &str = "onboardings_slug";

fn slug_taken(slug: &Slug) -> Error {
    let message =
        format!("The slug '{slug}' is in use by a platform or an onboarding. Choose a different slug.");
    Error::new(Kind::AlreadyExists, message).with("slug", slug)
}

/// Rejects a slug that a platform uses, if the registry responds; otherwise the first step fails. A constraint rejects a
/// slug that another onboarding has reserved.
async fn check_slug(app: &App, ctx: &Ctx, slug: &Slug) -> Result<()> {
    let response =
        app.registry.call_with(ctx, short_deadline(), CheckSlugRequest { slug: slug.to_string() }).await;
    match ok_or_log("the slug", response) {
        Some(response) if response.taken => Err(slug_taken(slug)),
        _ => Ok(()),
    }
}

/// The deadline of optional checks, which a later step repeats.
pub(super) fn short_deadline() -> PeerCall<'static> {
    PeerCall { deadline: Some(Duration::from_secs(2)), ..PeerCall::default() }
}

/// Returns the response of an optional check, or logs the error.
pub(super) fn ok_or_log<T>(what: &str, response: Result<T>) -> Option<T> {
    response
        .inspect_err(|error| {
            let context = error.log_context();
            tracing::info!(error = error.message(), context, "cannot check {what}");
        })
        .ok()
}

fn row(ctx: &Ctx, new: &NewOnboarding, lifetime: Duration) -> OnboardingRow {
    let now = clock::now();
    OnboardingRow {
        id: domain::id::uuid_v7(),
        platform_id: PlatformId::random(),
        user_id: ctx.caller.id.clone(),
        platform_name: new.platform_name.clone(),
        slug: new.slug.clone(),
        tier: new.tier,
        stack_template_id: new.stack_template_id.clone(),
        provision_job_id: domain::id::uuid_v7(),
        metadata: json!({ "platformName": new.platform_name, "slug": new.slug }),
        expires_at: now + lifetime,
        created_at: now,
        updated_at: now,
    }
}

fn input(row: &OnboardingRow, limited: bool) -> OnboardingInput {
    OnboardingInput {
        platform_id: row.platform_id.clone(),
        platform_name: row.platform_name.clone(),
        slug: row.slug.clone(),
        tier: row.tier,
        user_id: row.user_id.clone(),
        stack_template_id: row.stack_template_id.clone(),
        provision_job_id: row.provision_job_id,
        build_id: domain::id::uuid_v7(),
        limited,
    }
}

/// Reads an onboarding for its owner or an operator.
pub(crate) async fn get(app: &App, ctx: &Ctx, id: Uuid) -> Result<OnboardingView> {
    api::get(&app.db, ctx, id).await
}

/// Returns 404 for the onboarding of someone else, or 403 if the caller's scope covers everything and only the role is
/// too low.
fn check_access(ctx: &Ctx, row: &OnboardingRow) -> Result<()> {
    let caller = &ctx.caller;
    if caller.is_operator() || caller.id == row.user_id {
        return Ok(());
    }
    if caller.scope.is_all() {
        let message = "Only operators and the owner of an onboarding can access it.";
        return Err(Error::new(Kind::Forbidden, message));
    }
    if scope_filter_enabled() { Err(Error::not_found("onboarding", row.id)) } else { Ok(()) }
}

/// Pauses, resumes or discards an onboarding; for operators.
pub(crate) async fn apply_operation<O: Operation>(
    app: &App,
    ctx: &WriteCtx,
    id: Uuid,
    operation: O,
) -> Result<Done<OnboardingView>>
where
    OnboardingView: Supports<O>,
{
    saga::apply_operation(&app.db, &app.wake, ctx, id, operation).await
}

impl SagaResource for OnboardingView {
    const NAME: &'static str = "onboarding";
    const COUNTER: &'static str = store::COUNTER;

    type Row = OnboardingRow;
    type Status = SessionStatus;

    async fn row(c: &Conn, scope: &Scope, id: Uuid) -> Result<OnboardingRow> {
        store::row(c, scope, id).await
    }

    async fn rows(c: &Conn, scope: &Scope, ids: &[Uuid]) -> Result<HashMap<Uuid, OnboardingRow>> {
        store::rows(c, scope, ids).await
    }

    fn check_access(ctx: &Ctx, row: &OnboardingRow) -> Result<()> {
        check_access(ctx, row)
    }

    fn from_saga(row: OnboardingRow, saga: &Saga, steps: &[StepRow]) -> Result<Self> {
        Ok(Self::new(row, saga, steps))
    }

    fn status_of(saga: &Saga) -> SessionStatus {
        status(saga)
    }

    fn platform(&self) -> &PlatformId {
        &self.platform_id
    }
}

/// The name of the transaction of these operations.
const TRANSACTION: &str = "onboarding.steer";

impl Supports<Pause> for OnboardingView {
    const TRANSACTION: &'static str = TRANSACTION;
    const ACTION: &'static str = "onboarding.paused";
    const REJECTION: &'static str = "Only an onboarding that is in progress and not paused can be paused.";
}

impl Supports<Resume> for OnboardingView {
    const TRANSACTION: &'static str = TRANSACTION;
    const ACTION: &'static str = "onboarding.resumed";
    const REJECTION: &'static str = "Only a paused onboarding can be resumed.";
}

impl Supports<Discard<'_>> for OnboardingView {
    const TRANSACTION: &'static str = TRANSACTION;
    const ACTION: &'static str = "onboarding.discarded";
    const REJECTION: &'static str = "Only an onboarding whose undo has failed permanently can be discarded.";
}

/// The changes of a PATCH request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) metadata: Option<Value>,
    pub(crate) status: Option<SessionStatus>,
    pub(crate) steps: Option<Value>,
    pub(crate) current_step: Option<String>,
    pub(crate) provision_job_id: Option<String>,
}

/// Changes the metadata of an onboarding or cancels it. Fields that the saga manages may be sent, but not changed.
pub(crate) async fn update(
    app: &App,
    ctx: &WriteCtx,
    id: Uuid,
    change: Change,
) -> Result<Done<OnboardingView>> {
    let done = app
        .db
        .tx("onboarding.update", ctx, async |tx| {
            let c = tx.conn().await?;
            let found = LoadedSaga::<OnboardingView>::load(c, ctx, id).await?;
            let before = found.to_resource()?;
            ctx.check_match(&before)?;
            reject_managed_fields(&before, &change)?;
            let cancels = requests_cancel(&before, change.status)?;
            if cancels {
                request_undo(c, ctx, &found.record.saga).await?;
            }
            let mut after = before.clone();
            after.updated_at = clock::now();
            let action = if cancels { "onboarding.cancelled" } else { "onboarding.updated" };
            let record = |after: &OnboardingView| {
                Record::change(action, "onboarding", id)
                    .in_platform(&found.row.platform_id)
                    .before(&before)
                    .after(after)
            };
            match &change.metadata {
                Some(metadata) => {
                    after.metadata = metadata.clone();
                    let effect = (
                        store::set_metadata(id, metadata.clone(), after.updated_at),
                        saga::bump_revision(id),
                    );
                    tx.finish(effect, record(&after), after, |_| None).await
                }
                None if cancels => tx.finish(NoEffect, record(&after), after, |_| None).await,
                None => Ok(before),
            }
        })
        .await?;
    app.wake.notify_one();
    Ok(done)
}

/// Requests the undo of an onboarding. If the undo is stuck, its attempts start again.
async fn request_undo(c: &Conn, ctx: &WriteCtx, saga: &Saga) -> Result<()> {
    let requested = match saga.status {
        SagaStatus::Stuck => saga::retry(c, saga.id).await?,
        _ => saga::request_undo(c, saga.id, &format!("cancelled by {}", ctx.caller.id)).await?,
    };
    // The onboarding ended after it was read.
    if requested { Ok(()) } else { Err(Error::concurrent_write("the onboarding has just ended")) }
}

/// Rejects changes of fields that the saga manages. Their current values are accepted.
fn reject_managed_fields(onboarding: &OnboardingView, change: &Change) -> Result<()> {
    let managed = |field: &str| {
        let message = format!("The field '{field}' is managed by the onboarding and cannot be changed.");
        Error::new(Kind::Conflict, message).with("field", field)
    };
    if change.current_step.is_some() && change.current_step != onboarding.current_step {
        return Err(managed("currentStep"));
    }
    if change.provision_job_id.is_some()
        && change.provision_job_id != onboarding.provision_job_id.map(|id| id.to_string())
    {
        return Err(managed("provisionJobId"));
    }
    let Some(steps) = &change.steps else { return Ok(()) };
    let sent =
        steps.as_array().ok_or_else(|| Error::invalid("steps", "must be the JSON text of an array"))?;
    let same = sent.len() == onboarding.steps.len()
        && sent.iter().zip(&onboarding.steps).all(|(sent, step)| {
            sent.get("name").and_then(Value::as_str) == Some(&step.name)
                && sent.get("status").and_then(Value::as_str) == Some(step.status.as_str())
        });
    if same { Ok(()) } else { Err(managed("steps")) }
}

/// Returns true if the change cancels the onboarding.
fn requests_cancel(onboarding: &OnboardingView, status: Option<SessionStatus>) -> Result<bool> {
    match status {
        None => Ok(false),
        Some(status) if status == onboarding.status => Ok(false),
        Some(SessionStatus::Cancelled) if onboarding.status == SessionStatus::InProgress => Ok(true),
        Some(status) => {
            let message =
                format!("An onboarding that is {} cannot be changed to {status}.", onboarding.status);
            let allowed: &[&str] =
                if onboarding.status == SessionStatus::InProgress { &["cancelled"] } else { &[] };
            Err(Error::new(Kind::InvalidTransition, message)
                .with("from", onboarding.status)
                .with("event", status)
                .with("allowed", allowed))
        }
    }
}
