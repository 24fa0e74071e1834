//! What can be done with onboardings.

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
    model::{Input, Session, SessionRow, Started, status},
    quota::{self, Allowance},
    store,
};
use crate::{App, steps};

/// What a new onboarding is made of.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    pub(crate) platform_name: Name,
    pub(crate) slug: Slug,
    pub(crate) tier: Tier,
    pub(crate) stack_template_id: Option<String>,
}

/// Refuses callers who may not onboard any platform.
pub(super) fn may_start(caller: &Caller) -> Result<()> {
    if caller.is_operator() || caller.actor_type == ActorType::User {
        return Ok(());
    }
    let message = "A platform is onboarded by an operator, or by a person who is signed in";
    Err(Error::new(Kind::Forbidden, message))
}

/// Records an onboarding; its steps run from then on, whatever becomes of this process.
pub(crate) async fn start(app: &App, ctx: &WriteCtx, new: NewSession) -> Result<Done<Started>> {
    may_start(&ctx.caller)?;
    // A repetition is answered before the registry is asked: by now it knows the slug.
    if let Some(done) = app.db.replay(ctx).await? {
        return Ok(done);
    }
    let slug = check_slug(app, ctx, &new.slug);
    let allowance = match tokio::try_join!(slug, Allowance::ask(app, ctx, new.tier)) {
        Ok(((), allowance)) => allowance,
        // The platform may be that of another request with the same key, which was recorded meanwhile.
        Err(error) => return app.db.replay(ctx).await?.ok_or(error),
    };
    let definition = steps::definition();
    let done = app
        .db
        .tx("onboarding.start", ctx, async |tx| {
            if let Some(allowance) = &allowance {
                allowance.check(tx, ctx).await?;
            }
            let row = row(ctx, &new, app.session_lifetime);
            let input = serde_json::to_value(input(&row, quota::holds(ctx))).map_err(Error::internal)?;
            let saga = NewSaga {
                id: row.id,
                subject: row.platform_id.to_string(),
                input,
                deadline: Some(row.expires_at),
                fairness_key: ctx.caller.id.clone(),
            };
            let (saga, steps) = saga.rows(&definition, ctx);
            let started = Started {
                onboarding_id: row.id,
                job_id: Some(row.provision_job_id),
                status: SessionStatus::InProgress,
                steps: steps.iter().map(StepView::from).collect(),
            };
            let session = Session::of(row.clone(), &saga, &steps);
            let record = Record::change("onboarding.started", "onboarding", row.id)
                .in_platform(&row.platform_id)
                .after(&session)
                .count(store::COUNTER, 1);
            let change = (saga::insert(saga), saga::insert_steps(steps), store::insert(row));
            tx.finish(change, record, started, |name| (name == SLUG_HELD).then(|| taken(&new.slug))).await
        })
        .await?;
    app.wake.notify_one();
    Ok(done)
}

/// The constraint that keeps a slug to one onboarding that is under way.
const SLUG_HELD: &str = "onboardings_slug";

fn taken(slug: &Slug) -> Error {
    let message =
        format!("The slug '{slug}' is taken by a platform or by an onboarding. Choose another one.");
    Error::new(Kind::AlreadyExists, message).with("slug", slug)
}

/// A slug that a platform has is refused at once when the registry can be asked; else the first step finds it out. One
/// that another onboarding holds is refused by a constraint.
async fn check_slug(app: &App, ctx: &Ctx, slug: &Slug) -> Result<()> {
    let answer = app.registry.call_with(ctx, brief(), CheckSlugRequest { slug: slug.to_string() }).await;
    match if_answered("the slug", answer) {
        Some(answer) if answer.taken => Err(taken(slug)),
        _ => Ok(()),
    }
}

/// How long is waited for what could also be found out later.
pub(super) fn brief() -> PeerCall<'static> {
    PeerCall { deadline: Some(Duration::from_secs(2)), ..PeerCall::default() }
}

/// An answer that is not needed, if there is one.
pub(super) fn if_answered<T>(what: &str, answer: Result<T>) -> Option<T> {
    answer
        .inspect_err(|error| {
            let context = error.log_context();
            tracing::info!(error = error.message(), context, "{what} could not be checked");
        })
        .ok()
}

fn row(ctx: &Ctx, new: &NewSession, lifetime: Duration) -> SessionRow {
    let now = clock::now();
    SessionRow {
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

fn input(row: &SessionRow, limited: bool) -> Input {
    Input {
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

/// An onboarding, for its owner or an operator.
pub(crate) async fn get(app: &App, ctx: &Ctx, id: Uuid) -> Result<Session> {
    api::get(&app.db, ctx, id).await
}

/// Another's onboarding is not there; of who reaches everything, the role is too low.
fn check_access(ctx: &Ctx, row: &SessionRow) -> Result<()> {
    let caller = &ctx.caller;
    if caller.is_operator() || caller.id == row.user_id {
        return Ok(());
    }
    if caller.scope.is_all() {
        return Err(Error::new(Kind::Forbidden, "Only the owner of an onboarding and operators may see it"));
    }
    if scope_filter_enabled() { Err(Error::not_found("onboarding", row.id)) } else { Ok(()) }
}

/// Pauses an onboarding, has it go on, or ends it as it stands: what operators alone may.
pub(crate) async fn steer<V: Operation>(app: &App, ctx: &WriteCtx, id: Uuid, verb: V) -> Result<Done<Session>>
where
    Session: Supports<V>,
{
    saga::apply_operation(&app.db, &app.wake, ctx, id, verb).await
}

impl SagaResource for Session {
    const NAME: &'static str = "onboarding";
    const COUNTER: &'static str = store::COUNTER;

    type Row = SessionRow;
    type Status = SessionStatus;

    async fn row(c: &Conn, scope: &Scope, id: Uuid) -> Result<SessionRow> {
        store::row(c, scope, id).await
    }

    async fn rows(c: &Conn, scope: &Scope, ids: &[Uuid]) -> Result<HashMap<Uuid, SessionRow>> {
        store::rows(c, scope, ids).await
    }

    fn check_access(ctx: &Ctx, row: &SessionRow) -> Result<()> {
        check_access(ctx, row)
    }

    fn from_saga(row: SessionRow, saga: &Saga, steps: &[StepRow]) -> Result<Self> {
        Ok(Self::of(row, saga, steps))
    }

    fn status_of(saga: &Saga) -> SessionStatus {
        status(saga)
    }

    fn platform(&self) -> &PlatformId {
        &self.platform_id
    }
}

/// The name of the transaction that steers an onboarding.
const STEER: &str = "onboarding.steer";

impl Supports<Pause> for Session {
    const TRANSACTION: &'static str = STEER;
    const ACTION: &'static str = "onboarding.paused";
    const REJECTION: &'static str = "only an onboarding that is under way, and does not rest, can be paused";
}

impl Supports<Resume> for Session {
    const TRANSACTION: &'static str = STEER;
    const ACTION: &'static str = "onboarding.resumed";
    const REJECTION: &'static str = "only an onboarding that was paused can be resumed";
}

impl Supports<Discard<'_>> for Session {
    const TRANSACTION: &'static str = STEER;
    const ACTION: &'static str = "onboarding.discarded";
    const REJECTION: &'static str = "only an onboarding whose tries are used up can be discarded";
}

/// What of an onboarding a client asks to change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) metadata: Option<Value>,
    pub(crate) status: Option<SessionStatus>,
    pub(crate) steps: Option<Value>,
    pub(crate) current_step: Option<String>,
    pub(crate) provision_job_id: Option<String>,
}

/// Changes what a client keeps with an onboarding, or cancels it. What the saga keeps may be named, not changed.
pub(crate) async fn update(app: &App, ctx: &WriteCtx, id: Uuid, change: Change) -> Result<Done<Session>> {
    let done = app
        .db
        .tx("onboarding.update", ctx, async |tx| {
            let c = tx.conn().await?;
            let found = LoadedSaga::<Session>::load(c, ctx, id).await?;
            let before = found.to_resource()?;
            ctx.check_match(&before)?;
            refuse_what_the_saga_keeps(&before, &change)?;
            let cancels = asks_to_cancel(&before, change.status)?;
            if cancels {
                request_undo(c, ctx, &found.record.saga).await?;
            }
            let mut after = before.clone();
            after.updated_at = clock::now();
            let action = if cancels { "onboarding.cancelled" } else { "onboarding.updated" };
            let record = |after: &Session| {
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

/// Has everything undone. One whose undoing has used up its tries gets new ones: it is cancelled already.
async fn request_undo(c: &Conn, ctx: &WriteCtx, saga: &Saga) -> Result<()> {
    let asked = match saga.status {
        SagaStatus::Stuck => saga::retry(c, saga.id).await?,
        _ => saga::request_undo(c, saga.id, &format!("cancelled by {}", ctx.caller.id)).await?,
    };
    // It was read before it was asked, and ended in between.
    if asked { Ok(()) } else { Err(Error::concurrent_write("the onboarding has just ended")) }
}

/// A client may say again what is so, and nothing else.
fn refuse_what_the_saga_keeps(session: &Session, change: &Change) -> Result<()> {
    let kept = |field: &str| {
        Error::new(Kind::Conflict, format!("{field} is kept by the onboarding itself and cannot be set"))
            .with("field", field)
    };
    if change.current_step.is_some() && change.current_step != session.current_step {
        return Err(kept("currentStep"));
    }
    if change.provision_job_id.is_some()
        && change.provision_job_id != session.provision_job_id.map(|id| id.to_string())
    {
        return Err(kept("provisionJobId"));
    }
    let Some(steps) = &change.steps else { return Ok(()) };
    let said =
        steps.as_array().ok_or_else(|| Error::invalid("steps", "must be the JSON text of an array"))?;
    let same = said.len() == session.steps.len()
        && said.iter().zip(&session.steps).all(|(said, step)| {
            said.get("name").and_then(Value::as_str) == Some(&step.name)
                && said.get("status").and_then(Value::as_str) == Some(step.status.as_str())
        });
    if same { Ok(()) } else { Err(kept("steps")) }
}

fn asks_to_cancel(session: &Session, status: Option<SessionStatus>) -> Result<bool> {
    match status {
        None => Ok(false),
        Some(status) if status == session.status => Ok(false),
        Some(SessionStatus::Cancelled) if session.status == SessionStatus::InProgress => Ok(true),
        Some(status) => {
            let message = format!("an onboarding that is {} cannot be made {status}", session.status);
            let allowed: &[&str] =
                if session.status == SessionStatus::InProgress { &["cancelled"] } else { &[] };
            Err(Error::new(Kind::InvalidTransition, message)
                .with("from", session.status)
                .with("event", status)
                .with("allowed", allowed))
        }
    }
}
