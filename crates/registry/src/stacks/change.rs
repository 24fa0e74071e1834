//! How stacks are brought to another version, back, and taken down.

use database::{Record, Tx};
use domain::{
    Error, Kind, PlatformId, Result, StackId, Version,
    feature::FeatureStatus,
    job::JobType,
    stack::{StackEvent, StackStatus},
};
use identity::{Done, PlatformScope, WriteCtx};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    definition::Known,
    dependents, inputs,
    model::{Edition, Inputs, Stack, Wanted},
    ops::{start_build, with_command},
    plan::{self, Plan, Present},
    store, template,
};
use crate::{
    App, builds,
    features::{
        self,
        model::{Activation, ManifestTag},
    },
    platforms,
};

/// What is told of a stack that is about to be changed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Changing {
    id: StackId,
    status: StackStatus,
    plan: Plan,
    /// Tells the plan from every other; sent with the request, it is done only while it holds.
    plan_hash: String,
    /// The job in provisioning.
    provision_job_id: Uuid,
}

/// What is told of a stack that is gone, and is about to be taken down.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Removed {
    id: StackId,
    /// The job in provisioning.
    provision_job_id: Uuid,
}

/// What a stack is to be brought to.
#[derive(Debug, Clone)]
pub(crate) struct Upgrade {
    pub(crate) version: Version,
    /// What is filled in for it; what was filled in last, if nothing is said.
    pub(crate) inputs: Option<Inputs>,
    pub(crate) plan_hash: Option<String>,
}

/// Has a stack brought to a version of its template.
pub(crate) async fn upgrade(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    id: &StackId,
    asked: Upgrade,
) -> Result<Done<Changing>> {
    let scope = ctx.platform(platform)?;
    // A repetition is answered from its first run, whatever the stack registry says by now.
    if let Some(done) = app.db.replay(ctx).await? {
        return Ok(done);
    }
    let found = app.db.read(ctx, async |c| store::of_live(c, &scope, id).await).await?;
    let known = template::version(app, ctx, template_of(&found)?, &asked.version).await?;
    let checked = filled_in(&asked, &found);
    inputs::check(&known, platform, &checked).await?;
    app.db
        .tx("stack.upgrade", ctx, async |tx| {
            let before = lock(tx, ctx, &scope, id).await?;
            let inputs = filled_in(&asked, &before);
            if inputs != checked {
                inputs::check(&known, platform, &inputs).await?;
            }
            let edition = Edition { version: known.version.clone(), inputs };
            let wanted = Wanted { edition, back: false };
            let hash = asked.plan_hash.as_deref();
            ask(tx, &scope, before, wanted, &known, hash).await
        })
        .await
}

/// The inputs that an upgrade brings a stack to.
fn filled_in(asked: &Upgrade, stack: &Stack) -> Inputs {
    let kept = || stack.edition().map(|edition| edition.inputs).unwrap_or_default();
    asked.inputs.clone().unwrap_or_else(kept)
}

/// Has a stack brought back to what it ran before its last upgrade. No stack registry is needed for it.
pub(crate) async fn rollback(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    id: &StackId,
    plan_hash: Option<&str>,
) -> Result<Done<Changing>> {
    let scope = ctx.platform(platform)?;
    app.db
        .tx("stack.rollback", ctx, async |tx| {
            let before = lock(tx, ctx, &scope, id).await?;
            let template = template_of(&before)?.to_owned();
            before.status.after(StackEvent::Rollback)?;
            let edition = before.previous()?.ok_or_else(|| {
                Error::new(Kind::InvalidTransition, "The stack has no version to go back to")
                    .with("from", before.status)
                    .with("event", StackEvent::Rollback)
                    .with("allowed", [StackEvent::Upgrade])
            })?;
            let known = kept(tx, &template, &edition.version).await?;
            let wanted = Wanted { edition, back: true };
            ask(tx, &scope, before, wanted, &known, plan_hash).await
        })
        .await
}

/// A version that a stack runs, or ran.
pub(super) async fn kept(tx: &mut Tx, template: &str, version: &Version) -> Result<Known> {
    let known = store::known(tx.conn().await?, template, version).await?;
    known.ok_or_else(|| Error::internal(format!("{template} {version} is not kept")))
}

/// The name of a stack's template.
///
/// # Errors
/// [`Kind::Unprocessable`] of a custom stack.
pub(super) fn template_of(stack: &Stack) -> Result<&str> {
    let message = "A custom stack has no template, and so no versions";
    stack.template_name.as_deref().ok_or_else(|| Error::new(Kind::Unprocessable, message))
}

/// The stack as its caller has seen it, held to be changed.
async fn lock(tx: &mut Tx, ctx: &WriteCtx, scope: &PlatformScope, id: &StackId) -> Result<Stack> {
    let c = tx.conn().await?;
    platforms::ops::hold(c, ctx, scope).await?;
    let before = store::lock(c, scope, id).await?;
    if before.deleted_at.is_some() {
        return Err(Error::not_found("stack", id));
    }
    ctx.check_match(&before)?;
    // Others may depend on it, or run its features.
    tx.see_platform(scope).await?;
    Ok(before)
}

/// The end of both: the plan, and the job that follows it.
async fn ask(
    tx: &mut Tx,
    scope: &PlatformScope,
    before: Stack,
    wanted: Wanted,
    known: &Known,
    plan_hash: Option<&str>,
) -> Result<Changing> {
    let job = domain::id::uuid_v7();
    let event = if wanted.back { StackEvent::Rollback } else { StackEvent::Upgrade };
    let after = before.asked(event, &wanted, job)?;
    let c = tx.conn().await?;
    plan::check_parts(scope, &before.id, known)?;
    known.check_dependencies(&store::running(c, scope, &known.dependencies()).await?)?;
    dependents::refuse_to_break(c, scope, &before, Some(&known.version)).await?;
    refuse_busy(&features::store::of_stack(c, scope, &before.id).await?)?;
    let present = Present::of(&before.id, features::store::around(c, scope, &before, known).await?);
    let plan = Plan::of(&before, &present, &wanted.edition, known);
    let hash = plan.hash(&before.id)?;
    if plan_hash.is_some_and(|expected| expected != hash) {
        let message = "The plan does not hold any more: look at it again";
        return Err(Error::new(Kind::PreconditionFailed, message)
            .with("planHash", &hash)
            .with("plan", &plan));
    }
    let build = start_build(&after, job);
    let action = if wanted.back { "stack.rolling_back" } else { "stack.upgrading" };
    let record = Record::change(action, super::AUDIT_TYPE, &after.id)
        .of(scope.id())
        .before(&before)
        .after(&after)
        .and("build.started", crate::builds::AUDIT_TYPE, build.id)
        .of(scope.id())
        .after(&build);
    let record = with_command(record, &after, JobType::ActivateStack, json!({}));
    let answer =
        Changing { id: after.id.clone(), status: after.status, plan, plan_hash: hash, provision_job_id: job };
    let change =
        (store::update(after), store::keep(Some(known.row())), builds::store::insert_any(Some(build)));
    tx.finish(change, record, answer, |_| None).await
}

/// Refuses what would meet the job of a feature.
fn refuse_busy(of_stack: &[Activation]) -> Result<()> {
    let busy: Vec<_> = of_stack
        .iter()
        .filter(|row| row.status.is_on_its_way() || row.status == FeatureStatus::Deactivating)
        .map(|row| json!({ "entityId": row.entity_id, "featureId": row.feature_id }))
        .collect();
    if busy.is_empty() {
        return Ok(());
    }
    let message = "Features of the stack are being changed, try again when they are done";
    Err(Error::new(Kind::Conflict, message).with("features", busy))
}

/// Takes a stack that no other depends on out of the catalogue, and has provisioning take down what there is of it.
pub(crate) async fn remove(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    id: &StackId,
    delete_data: bool,
) -> Result<Done<Removed>> {
    take_down(app, ctx, platform, id, delete_data, true).await
}

async fn take_down(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    id: &StackId,
    delete_data: bool,
    others_stay: bool,
) -> Result<Done<Removed>> {
    let scope = ctx.platform(platform)?;
    app.db
        .tx("stack.remove", ctx, async |tx| {
            let before = lock(tx, ctx, &scope, id).await?;
            if others_stay {
                dependents::refuse_to_break(tx.conn().await?, &scope, &before, None).await?;
            }
            let job = domain::id::uuid_v7();
            let command = |record: Record, after: &Stack| {
                with_command(record, after, JobType::DeactivateStack, json!({ "deleteData": delete_data }))
            };
            take_out(tx, &scope, before, job, command).await
        })
        .await
}

/// What the tenant ran from the stack is over at once; what others run from it keeps it.
pub(super) async fn take_out(
    tx: &mut Tx,
    scope: &PlatformScope,
    before: Stack,
    job: Uuid,
    command: impl FnOnce(Record, &Stack) -> Record,
) -> Result<Removed> {
    let rows = features::store::of_stack(tx.conn().await?, scope, &before.id).await?;
    let others = rows.iter().filter(|row| row.entity_id != before.tenant_id && row.status.is_live()).count();
    if others > 0 {
        let message = "Other entities run features of the stack that must be deactivated first";
        let dependents = json!({ "features": others });
        return Err(Error::new(Kind::HasDependents, message).with("dependents", dependents));
    }
    refuse_busy(&rows)?;
    let after = before.removed(job);
    let mut record =
        Record::change("stack.deleted", super::AUDIT_TYPE, &after.id).of(scope.id()).before(&before);
    let (mut ended, mut tags) = (Vec::new(), Vec::new());
    for row in rows.into_iter().filter(|row| row.entity_id == before.tenant_id) {
        let after = row.ended(job)?;
        if row.live_version.is_some() {
            tags.push(ManifestTag::of(&row));
            record = record
                .and("feature.deactivated", crate::features::AUDIT_TYPE, row.id)
                .of(scope.id())
                .before(&row)
                .after(&after);
        }
        ended.push(after);
    }
    let record = command(record, &after);
    let answer = Removed { id: after.id.clone(), provision_job_id: job };
    let change = (store::update(after), features::store::put_all(ended), features::store::touch_all(tags));
    tx.finish(change, record, answer, |_| None).await
}

impl Activation {
    /// The activation once its service is gone with its stack: nothing binds it there any more.
    pub(super) fn ended(&self, job: Uuid) -> Result<Self> {
        let mut after = self.clone();
        if self.status == FeatureStatus::Active {
            after = self.taken_out(job)?;
        }
        after.has_data = false;
        Ok(after)
    }
}

/// Takes all stacks of a platform down, with their data; names the jobs, also of those that are deleted already.
pub(crate) async fn remove_all(app: &App, ctx: &WriteCtx, platform: &PlatformId) -> Result<Vec<Uuid>> {
    let scope = ctx.platform(platform)?;
    for id in app.db.read(ctx, async |c| store::ids(c, &scope).await).await? {
        match take_down(app, ctx, platform, &id, true, false).await {
            Err(error) if error.kind() == Kind::NotFound => {}
            done => drop(done?),
        }
    }
    app.db.read(ctx, async |c| store::removals(c, &scope).await).await
}
