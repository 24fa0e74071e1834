//! How stacks are made.

use database::{Record, Tx};
use domain::{Error, Kind, PlatformId, Result, job::JobType};
use identity::{Done, PlatformScope, WriteCtx};
use serde_json::{Value, json};
use stack_definition::Feature;
use uuid::Uuid;

use super::{
    definition::Known,
    inputs,
    model::{NewStack, Stack},
    plan, store, template,
};
use crate::{
    App,
    builds::{self, model::NewBuild},
    entities,
    features::model::StackFeature,
    platforms,
};

/// Makes a stack; with a template it is of the template's newest active version, and is activated from now on.
pub(crate) async fn create(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    new: NewStack,
) -> Result<Done<Stack>> {
    let scope = ctx.platform(platform)?;
    // A repetition is answered from its first run, whatever the stack registry says by now.
    if new.template.is_some()
        && let Some(done) = app.db.replay(ctx).await?
    {
        return Ok(done);
    }
    let known = pin(app, ctx, platform, &new).await?;
    app.db
        .tx("stack.create", ctx, async |tx| insert(tx, app, ctx, &scope, new.clone(), known.as_ref()).await)
        .await
}

/// Makes a stack, or gives the one of the tenant that has the name.
pub(crate) async fn ensure(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    new: NewStack,
) -> Result<Done<Stack>> {
    let scope = ctx.platform(platform)?;
    let found = app
        .db
        .read(ctx, async |c| {
            let stack = store::by_name(c, &scope, &new.tenant_id, &new.name);
            platforms::store::of_live(c, &scope, stack).await
        })
        .await?;
    if let Some(stack) = found {
        return Ok(Done { value: stack, replayed: true, dry_run: false });
    }
    let known = pin(app, ctx, platform, &new).await?;
    app.db
        .tx("stack.ensure", ctx, async |tx| {
            // One that was made since is given too.
            match store::by_name(tx.conn().await?, &scope, &new.tenant_id, &new.name).await? {
                Some(stack) => Ok(stack),
                None => insert(tx, app, ctx, &scope, new.clone(), known.as_ref()).await.map_err(|error| {
                    let met = error.kind() == Kind::AlreadyExists && error.details().contains_key("name");
                    if met { Error::met("the stack was made at the same time") } else { error }
                }),
            }
        })
        .await
}

/// The version that a new stack is to run, which takes what was filled in for it.
async fn pin(app: &App, ctx: &WriteCtx, platform: &PlatformId, new: &NewStack) -> Result<Option<Known>> {
    let Some(template) = &new.template else {
        return match &new.inputs {
            None => Ok(None),
            Some(_) => Err(Error::invalid("inputs", "must not be given without templateId")),
        };
    };
    let known = template::newest_version(app, ctx, template).await?;
    inputs::check(&known, platform, &new.inputs.clone().unwrap_or_default()).await?;
    Ok(Some(known))
}

async fn insert(
    tx: &mut Tx,
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    new: NewStack,
    known: Option<&Known>,
) -> Result<Stack> {
    let c = tx.conn().await?;
    platforms::ops::hold(c, ctx, scope).await?;
    if entities::store::hold(c, scope, &new.tenant_id).await?.is_none() {
        return Err(Error::invalid("tenantId", "must be an entity of the platform"));
    }
    // What the version depends on may be another tenant's.
    if let Some(known) = known {
        let named: Vec<_> = known.definition.features().iter().map(Feature::id).collect();
        platforms::quota::features(tx, ctx, scope, &app.own.quotas, &named).await?;
    }
    let c = tx.see_platform(scope).await?;
    let row = new.into_row(scope.id(), known)?;
    let mut record = Record::change("stack.created", super::AUDIT_TYPE, &row.id).of(scope.id()).after(&row);
    let mut build = None;
    if let Some(known) = known {
        plan::check_parts(scope, &row.id, known)?;
        known.check_dependencies(&store::running(c, scope, &known.dependencies()).await?)?;
        build = row.provision_job_id.map(|job| start_build(&row, job));
        record = with_command(record, &row, JobType::ActivateStack, json!({}));
    }
    if let Some(build) = &build {
        record = record.and("build.started", crate::builds::AUDIT_TYPE, build.id).of(scope.id()).after(build);
    }
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
    let change = (
        store::insert(row.clone()),
        store::keep(known.map(Known::row)),
        store::put_named(known.map(|known| named(known, &row)).unwrap_or_default()),
        builds::store::insert_any(build),
    );
    tx.finish(change, record, row, on_constraint).await
}

/// The build that a job for a stack is.
pub(super) fn start_build(stack: &Stack, job: Uuid) -> builds::model::Build {
    NewBuild::of_feature(job, domain::resource::Environment::Prod).into_row(&stack.platform_id)
}

/// The features that the stack's version names.
pub(super) fn named(known: &Known, stack: &Stack) -> Vec<StackFeature> {
    let row = |feature: &Feature| StackFeature {
        stack_id: stack.id.clone(),
        feature_id: feature.id().clone(),
        platform_id: stack.platform_id.clone(),
        package: feature.package().to_owned(),
        has_service: feature.has_service(),
    };
    known.definition.features().iter().map(row).collect()
}

/// What the requests for its jobs are about: they are delivered in the order they were asked for.
pub(super) fn subject(stack: &Stack) -> String {
    format!("{}/{}", stack.platform_id, stack.id)
}

/// Has provisioning do what was asked of a stack.
pub(super) fn with_command(record: Record, stack: &Stack, kind: JobType, mut more: Value) -> Record {
    let Some(job) = stack.provision_job_id else { return record };
    if let Some(more) = more.as_object_mut() {
        more.insert("stackId".to_owned(), json!(stack.id));
    }
    let input = json!({ "type": kind, "platformId": stack.platform_id, "input": more });
    record.command("provisioning", "provisioning.job", job, subject(stack), input)
}
