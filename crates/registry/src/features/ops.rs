//! Use cases of features.

use database::{Record, Tx};
use domain::{
    ActivationId, Error, JobId, Kind, Result, Slug, StackId, Version,
    deployment::{
        Activation, ActivationEvent, ActivationKey, ActivationRequest, FeatureSource, FeatureStatus,
        FeatureTransition,
    },
    feature::check_names,
    job::JobType,
};
use identity::{Done, PlatformScope, WriteCtx};
use runtime::clock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    model::{ActivationRow, ManifestTag, StackFeature},
    store,
    view::ActivationView,
};
use crate::{
    App,
    builds::{
        self,
        model::{BuildRow, NewBuild},
        view::Build,
    },
    delivery::request_job,
    entities, parents, platforms,
};

/// What is told of a feature that is, or is about to be, active.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Activated {
    #[schema(value_type = Uuid)]
    activation_id: ActivationId,
    feature_id: Slug,
    status: FeatureStatus,
    /// The job in provisioning.
    #[schema(value_type = String, nullable, required, format = "uuid")]
    provision_job_id: JobId,
    /// How long activations take, as a rule. Null when none was completed yet, or nothing is left to wait for.
    #[schema(required)]
    estimated_duration_seconds: Option<i64>,
}

/// What is told of a feature that is about to be deactivated.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deactivated {
    feature_id: Slug,
    status: FeatureStatus,
}

impl Activated {
    fn of(row: &ActivationRow, estimate: Option<i64>) -> Self {
        Self {
            activation_id: row.id,
            feature_id: row.feature_id.clone(),
            status: row.status,
            provision_job_id: row.provision_job_id,
            estimated_duration_seconds: estimate.filter(|_| row.status.is_activating()),
        }
    }
}

/// Has a feature activated; one that is active in this version, or about to be, is left as it is.
pub(crate) async fn activate(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    key: &ActivationKey,
    version: &Version,
) -> Result<Done<Activated>> {
    app.db
        .tx("feature.activate", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, scope).await?;
            let entity = entities::store::hold(c, scope, &key.entity).await?;
            let entity = entity.ok_or_else(|| Error::not_found("entity", &key.entity))?;
            // What the feature is made of is told by a stack of the tenant's, which may be above the caller.
            let c = &*tx.see_platform(scope).await?;
            let (before, named, estimate) = tokio::try_join!(
                store::lock(c, scope, key),
                store::named(c, scope, entity.tenant(), &key.feature),
                store::estimate(c, &ctx.caller.scope)
            )?;
            if let Some(before) = &before {
                ctx.check_match(&ActivationView::from(before))?;
            }
            let covers = |row: &&ActivationRow| Activation::from((*row).clone()).covers(version);
            if let Some(before) = before.as_ref().filter(covers) {
                return Ok(Activated::of(before, estimate));
            }
            let after = request(before.as_ref(), key, version, JobId::generate(), named)?;
            check_names(&key.platform, &after.stack_id, &key.feature, key.environment)
                .map_err(|why| Error::invalid("featureId", why))?;
            hold_stack(tx, scope, &after).await?;
            platforms::quota::features(tx, ctx, scope, &app.own.quotas, &[&key.feature]).await?;
            let record = written(Record::default(), FeatureTransition::Activate, before.as_ref(), &after);
            let more = json!({ "featureVersion": version });
            let record = with_command(record, &after, JobType::ActivateFeature, more);
            let answer = Activated::of(&after, estimate);
            begin_build(tx, record, after, answer).await
        })
        .await
}

/// Has a feature deactivated.
pub(crate) async fn deactivate(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    key: &ActivationKey,
    delete_data: bool,
) -> Result<Done<Deactivated>> {
    app.db
        .tx("feature.deactivate", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, scope).await?;
            let before = store::lock(c, scope, key).await?;
            let before = before.ok_or_else(|| Error::not_found("feature", &key.feature))?;
            ctx.check_match(&ActivationView::from(&before))?;
            tx.see_platform(scope).await?;
            let job = JobId::generate();
            let after = before.apply(&ActivationEvent::DeactivationRequested { job })?;
            hold_stack(tx, scope, &after).await?;
            let record = written(Record::default(), FeatureTransition::Deactivate, Some(&before), &after);
            let more = json!({ "deleteData": delete_data });
            let record = with_command(record, &after, JobType::DeactivateFeature, more);
            let answer = Deactivated { feature_id: after.feature_id.clone(), status: after.status };
            begin_build(tx, record, after, answer).await
        })
        .await
}

/// The activation after a request of a version. `named` is the feature as a stack of the tenant defines it, if one does.
///
/// # Errors
/// [`Kind::InvalidTransition`].
pub(super) fn request(
    before: Option<&ActivationRow>,
    key: &ActivationKey,
    version: &Version,
    job: JobId,
    named: Option<StackFeature>,
) -> Result<ActivationRow> {
    let source = named.map_or_else(|| FeatureSource::without_stack(&key.feature), FeatureSource::from);
    let request = ActivationRequest { version: version.clone(), source, job };
    match before {
        Some(before) => before.apply(&ActivationEvent::Requested(request)),
        None => Ok(Activation::new(ActivationId::generate(), key.clone(), request, clock::now()).into()),
    }
}

/// Holds the stack that the feature's service belongs to as it is: a job of the stack and one of the feature would each
/// undo what the other did.
///
/// # Errors
/// [`Kind::Conflict`] when the stack is about to be changed.
pub(super) async fn hold_stack(tx: &mut Tx, scope: &PlatformScope, row: &ActivationRow) -> Result<()> {
    if row.stack_id == StackId::default_stack() {
        return Ok(());
    }
    let status = parents::lock_stack(tx.conn().await?, scope, &row.stack_id).await?;
    if status.is_changing() {
        let message = "The stack of the feature is being changed, try again when it is done";
        return Err(Error::new(Kind::Conflict, message)
            .with("stackId", &row.stack_id)
            .with("status", status));
    }
    Ok(())
}

/// What the requests for its jobs are about. Those for one service are delivered in the order they were asked for; those
/// for others do not wait for them.
pub(super) fn subject(row: &ActivationRow) -> String {
    format!("{}/{}/{}", row.platform_id, row.feature_id, row.environment)
}

/// Adds the request for a job to a record. Its input is the activation, and what its type needs in addition.
fn with_command(record: Record, after: &ActivationRow, kind: JobType, mut more: Value) -> Record {
    let key = json!({
        "entityId": after.entity_id, "featureId": after.feature_id, "environment": after.environment,
    });
    if let (Some(more), Value::Object(key)) = (more.as_object_mut(), key) {
        more.extend(key);
    }
    request_job(record, (kind, after.provision_job_id), &after.platform_id, subject(after), &more)
}

/// Action of the audit entry for a transition.
fn action(transition: FeatureTransition) -> &'static str {
    match transition {
        FeatureTransition::Activate => "feature.requested",
        FeatureTransition::Begin => "feature.provisioning",
        FeatureTransition::Complete => "feature.activated",
        FeatureTransition::Fail => "feature.failed",
        FeatureTransition::Revert => "feature.reverted",
        FeatureTransition::Deactivate => "feature.deactivating",
        FeatureTransition::Remove => "feature.deactivated",
        FeatureTransition::Restore => "feature.restored",
    }
}

/// Adds the change of an activation to a record.
pub(crate) fn written(
    record: Record,
    transition: FeatureTransition,
    before: Option<&ActivationRow>,
    after: &ActivationRow,
) -> Record {
    let record = record.and(action(transition), super::AUDIT_TYPE, after.id);
    let record = record.of(&after.platform_id).after(&ActivationView::from(after));
    match before {
        Some(before) => record.before(&ActivationView::from(before)),
        None => record.count(store::counter(&after.platform_id, &after.entity_id), 1),
    }
}

/// The end of a change that a job comes with: the build that it is has the job's id.
pub(super) async fn begin_build<T: Serialize>(
    tx: &mut Tx,
    record: Record,
    after: ActivationRow,
    answer: T,
) -> Result<T> {
    let build = NewBuild::of_job(after.provision_job_id, after.environment).into_row(&after.platform_id);
    let record = record
        .and("build.started", crate::builds::AUDIT_TYPE, build.id)
        .of(&after.platform_id)
        .after(&Build::from(&build));
    finish(tx, record, after, Some(build), answer).await
}

/// The end of every change: the activation, the manifest's tag, perhaps a build, the record.
pub(super) async fn finish<T: Serialize>(
    tx: &mut Tx,
    record: Record,
    after: ActivationRow,
    build: Option<BuildRow>,
    answer: T,
) -> Result<T> {
    let tag = store::touch(ManifestTag::of(&after));
    // Whoever asks at the same time finds, when run again, what the first one asked for.
    let met = |constraint: &str| {
        (constraint == "feature_activations_one")
            .then(|| Error::concurrent_write("the feature was asked for twice at once"))
    };
    match build {
        None => tx.finish((store::put(after), tag), record, answer, met).await,
        Some(build) => {
            tx.finish((store::put(after), tag, builds::store::put(build)), record, answer, met).await
        }
    }
}
