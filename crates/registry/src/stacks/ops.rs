//! Use cases of stacks. Each is one transaction.

use database::{Conn, Record, Tx};
use domain::{
    Error, JobId, Kind, PlatformId, Result, StackId, Version,
    deployment::{
        CurrentActivations, Inputs, Plan, Release, Stack, StackEvent, StackStatus, Target, VersionWithInputs,
    },
    job::JobType,
    resource::Environment,
};
use identity::{Done, PlatformScope, WriteCtx};
use runtime::clock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    model::{StackRequest, StackRow},
    store,
    template::{self, ResolvedTemplate, check_dependents},
    view::StackView,
};
use crate::{
    App,
    builds::{
        self,
        model::{BuildRow, NewBuild},
        view::Build,
    },
    delivery::request_job,
    entities,
    features::{self, model::ActivationRow},
    platforms,
};

/// Response to a request that changes a stack.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Changing)]
pub(crate) struct StackChange {
    id: StackId,
    status: StackStatus,
    plan: Plan,
    /// Hash of the plan. A request that sends the hash is rejected once the plan has changed.
    plan_hash: String,
    /// The job in provisioning.
    #[schema(value_type = Uuid)]
    provision_job_id: JobId,
}

/// Request to change the version of a stack.
#[derive(Debug, Clone)]
pub(crate) struct Upgrade {
    pub(crate) version: Version,
    /// Inputs for the version; `None` keeps the current ones.
    pub(crate) inputs: Option<Inputs>,
    pub(crate) plan_hash: Option<String>,
}

/// Creates a stack. With a template, pins the template's newest active version and requests the stack's job.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: StackRequest,
) -> Result<Done<StackView>> {
    // A repeated request gets the answer of its first run, whatever the stack registry answers now.
    if new.template.is_some()
        && let Some(done) = app.db.replay(ctx).await?
    {
        return Ok(done);
    }
    let template = resolve(app, ctx, scope.id(), &new).await?;
    app.db
        .tx("stack.create", ctx, async |tx| insert(tx, app, ctx, scope, new.clone(), template.as_ref()).await)
        .await
}

/// Creates a stack, or returns the existing one of the tenant with the name.
pub(crate) async fn ensure(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: StackRequest,
) -> Result<Done<StackView>> {
    let found = app
        .db
        .read(ctx, async |c| {
            let stack = store::by_name(c, scope, &new.tenant_id, &new.name);
            platforms::store::in_existing_platform(c, scope, stack).await
        })
        .await?;
    if let Some(stack) = found {
        return Ok(Done { value: StackView::from(&stack), replayed: true, dry_run: false });
    }
    let template = resolve(app, ctx, scope.id(), &new).await?;
    app.db
        .tx("stack.ensure", ctx, async |tx| {
            // Another request may have created it since.
            match store::by_name(tx.conn().await?, scope, &new.tenant_id, &new.name).await? {
                Some(stack) => Ok(StackView::from(&stack)),
                None => insert(tx, app, ctx, scope, new.clone(), template.as_ref()).await.map_err(|error| {
                    let name_taken =
                        error.kind() == Kind::AlreadyExists && error.details().contains_key("name");
                    if name_taken {
                        Error::concurrent_write("another request created the stack at the same time")
                    } else {
                        error
                    }
                }),
            }
        })
        .await
}

/// Returns the version for a new stack after checking its inputs. `None` for a custom stack.
async fn resolve(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    new: &StackRequest,
) -> Result<Option<ResolvedTemplate>> {
    let Some(template) = &new.template else {
        return match &new.inputs {
            None => Ok(None),
            Some(_) => Err(Error::invalid("inputs", "must not be set without templateId")),
        };
    };
    let template = template::newest_version(app, ctx, template).await?;
    template.check_inputs(platform, &new.inputs.clone().unwrap_or_default()).await?;
    Ok(Some(template))
}

async fn insert(
    tx: &mut Tx,
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: StackRequest,
    template: Option<&ResolvedTemplate>,
) -> Result<StackView> {
    let c = tx.conn().await?;
    platforms::ops::lock_shared(c, ctx, scope).await?;
    if entities::store::lock_shared(c, scope, &new.tenant_id).await?.is_none() {
        return Err(Error::invalid("tenantId", "must be an entity of the platform"));
    }
    let release = template.map(ResolvedTemplate::release);
    if let Some(release) = &release {
        platforms::quota::check_features(tx, ctx, scope, &app.settings.quotas, &release.feature_ids())
            .await?;
    }
    // A dependency may belong to another tenant.
    let c = tx.widen_to_platform(scope).await?;
    let row = new.into_row(scope.id(), template)?;
    let stack = StackView::from(&row);
    let mut record =
        Record::change("stack.created", super::AUDIT_TYPE, &row.id).in_platform(scope.id()).after(&stack);
    let mut build = None;
    if let Some(template) = template {
        template.check_feature_names(scope, &row.id)?;
        template.check_dependencies(&store::lock_running(c, scope, &template.dependencies()).await?)?;
        build = row.provision_job_id.map(|job| start_build(&row, job));
        record = with_command(record, &row, JobType::ActivateStack, json!({}));
    }
    if let Some(build) = &build {
        record = record
            .and("build.started", crate::builds::AUDIT_TYPE, build.id)
            .in_platform(scope.id())
            .after(&Build::from(build));
    }
    let name = row.name.clone();
    let on_constraint = |constraint: &str| match constraint {
        "stacks_name" => Some(
            Error::new(Kind::AlreadyExists, format!("Stack '{name}' already exists for this tenant."))
                .with("name", &name),
        ),
        "stacks_default" => Some(
            Error::new(Kind::AlreadyExists, "The tenant already has a default stack.")
                .with("isDefault", true),
        ),
        _ => None,
    };
    let change = (
        store::insert(row.clone()),
        store::insert_template_version(template.map(ResolvedTemplate::row)),
        store::upsert_features(release.map(|release| row.features(&release)).unwrap_or_default()),
        builds::store::insert_any(build),
    );
    tx.finish(change, record, stack, on_constraint).await
}

/// Requests the change of a stack to a version of its template.
pub(crate) async fn upgrade(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: &StackId,
    upgrade: Upgrade,
) -> Result<Done<StackChange>> {
    // A repeated request gets the answer of its first run, whatever the stack registry answers now.
    if let Some(done) = app.db.replay(ctx).await? {
        return Ok(done);
    }
    let found = app.db.read(ctx, async |c| store::get_existing(c, scope, id).await).await?;
    let template = template::version(app, ctx, found.template()?, &upgrade.version).await?;
    let checked = upgrade.inputs_for(&found);
    template.check_inputs(scope.id(), &checked).await?;
    app.db
        .tx("stack.upgrade", ctx, async |tx| {
            let before = lock_for_update(tx, ctx, scope, id).await?;
            let inputs = upgrade.inputs_for(&before);
            if inputs != checked {
                template.check_inputs(scope.id(), &inputs).await?;
            }
            let version = VersionWithInputs { version: template.version.clone(), inputs };
            let target = Target { version, is_rollback: false };
            change(tx, scope, before, target, &template, upgrade.plan_hash.as_deref()).await
        })
        .await
}

impl Upgrade {
    /// Returns the inputs of a stack after the upgrade.
    fn inputs_for(&self, stack: &StackRow) -> Inputs {
        let current = || stack.inputs.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        self.inputs.clone().unwrap_or_else(current)
    }
}

/// Requests the change of a stack back to the version before its last upgrade. Does not need the stack registry.
pub(crate) async fn rollback(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: &StackId,
    plan_hash: Option<&str>,
) -> Result<Done<StackChange>> {
    app.db
        .tx("stack.rollback", ctx, async |tx| {
            let before = lock_for_update(tx, ctx, scope, id).await?;
            let name = before.template()?.to_owned();
            let target = Stack::try_from(before.clone())?.rollback_target()?;
            let template = stored_version(tx, &name, &target.version.version).await?;
            change(tx, scope, before, target, &template, plan_hash).await
        })
        .await
}

/// Returns a version that a stack runs or ran.
pub(super) async fn stored_version(
    tx: &mut Tx,
    template: &str,
    version: &Version,
) -> Result<ResolvedTemplate> {
    let found = store::template_version(tx.conn().await?, template, version).await?;
    found.ok_or_else(|| Error::internal(format!("{template} {version} is not stored")))
}

/// Locks a stack to change it, and checks `If-Match`.
pub(super) async fn lock_for_update(
    tx: &mut Tx,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: &StackId,
) -> Result<StackRow> {
    let c = tx.conn().await?;
    platforms::ops::lock_shared(c, ctx, scope).await?;
    let before = store::lock_for_update(c, scope, id).await?;
    if before.deleted_at.is_some() {
        return Err(Error::not_found("stack", id));
    }
    ctx.check_match(&StackView::from(&before))?;
    // Other tenants may depend on the stack or run its features.
    tx.widen_to_platform(scope).await?;
    Ok(before)
}

/// Plans the change of a stack and requests its job.
async fn change(
    tx: &mut Tx,
    scope: &PlatformScope,
    before: StackRow,
    target: Target,
    template: &ResolvedTemplate,
    plan_hash: Option<&str>,
) -> Result<StackChange> {
    let job = JobId::generate();
    let action = if target.is_rollback { "stack.rolling_back" } else { "stack.upgrading" };
    let stack = Stack::try_from(before.clone())?;
    let after = StackRow::try_from(stack.apply(&StackEvent::Requested { target, job }, clock::now())?)?;
    let c = tx.conn().await?;
    template.check_feature_names(scope, &before.id)?;
    template.check_dependencies(&store::lock_running(c, scope, &template.dependencies()).await?)?;
    check_dependents(c, scope, &before, Some(&template.version)).await?;
    reject_busy(&features::store::lock_by_stack(c, scope, &before.id).await?)?;
    let release = template.release();
    let current = current_activations(c, scope, &before, &release).await?;
    let plan = stack.plan(&current, &release);
    let hash = plan.hash(&before.id)?;
    if plan_hash.is_some_and(|expected| expected != hash) {
        let message = "The plan has changed. Review it again.";
        return Err(Error::new(Kind::PreconditionFailed, message)
            .with("planHash", &hash)
            .with("plan", &plan));
    }
    let build = start_build(&after, job);
    let record = Record::change(action, super::AUDIT_TYPE, &after.id)
        .in_platform(scope.id())
        .before(&StackView::from(&before))
        .after(&StackView::from(&after))
        .and("build.started", crate::builds::AUDIT_TYPE, build.id)
        .in_platform(scope.id())
        .after(&Build::from(&build));
    let record = with_command(record, &after, JobType::ActivateStack, json!({}));
    let answer = StackChange {
        id: after.id.clone(),
        status: after.status,
        plan,
        plan_hash: hash,
        provision_job_id: job,
    };
    let change = (
        store::update(after),
        store::insert_template_version(Some(template.row())),
        builds::store::insert_any(Some(build)),
    );
    tx.finish(change, record, answer, |_| None).await
}

/// Locks and returns the tenant's activations that concern a stack or a release.
pub(super) async fn current_activations(
    c: &Conn,
    scope: &PlatformScope,
    stack: &StackRow,
    release: &Release,
) -> Result<CurrentActivations> {
    let ids = release.feature_ids();
    let rows = features::store::lock_by_tenant(c, scope, &stack.tenant_id, &stack.id, &ids).await?;
    Ok(CurrentActivations::new(&stack.id, rows.into_iter().map(Into::into)))
}

/// Rejects a change of a stack while a job is changing one of its features.
pub(super) fn reject_busy(of_stack: &[ActivationRow]) -> Result<()> {
    let busy: Vec<_> = of_stack
        .iter()
        .filter(|row| row.status.is_changing())
        .map(|row| json!({ "entityId": row.entity_id, "featureId": row.feature_id }))
        .collect();
    if busy.is_empty() {
        return Ok(());
    }
    let message = "Features of the stack are being changed. Try again when that is done.";
    Err(Error::new(Kind::Conflict, message).with("features", busy))
}

/// The build of a stack's job.
pub(super) fn start_build(stack: &StackRow, job: JobId) -> BuildRow {
    NewBuild::for_job(job, Environment::Prod).into_row(&stack.platform_id)
}

/// Outbox subject of a stack's jobs. The outbox delivers the requests of one subject in order.
pub(super) fn subject(stack: &StackRow) -> String {
    format!("{}/{}", stack.platform_id, stack.id)
}

/// Adds the request for a stack's job to a record.
pub(super) fn with_command(record: Record, stack: &StackRow, kind: JobType, mut more: Value) -> Record {
    let Some(job) = stack.provision_job_id else { return record };
    if let Some(more) = more.as_object_mut() {
        more.insert("stackId".to_owned(), json!(stack.id));
    }
    request_job(record, (kind, job), &stack.platform_id, subject(stack), &more)
}
