//! Use cases of features. Each is one transaction.

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

/// Response to a request that activates a feature.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Activated)]
pub(crate) struct ActivationAccepted {
    #[schema(value_type = Uuid)]
    activation_id: ActivationId,
    feature_id: Slug,
    status: FeatureStatus,
    /// The job in provisioning.
    #[schema(value_type = String, nullable, required, format = "uuid")]
    provision_job_id: JobId,
    /// Median duration of activations. Null if none was completed yet, or if the feature is active already.
    #[schema(required)]
    estimated_duration_seconds: Option<i64>,
}

/// Response to a request that deactivates a feature.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Deactivated)]
pub(crate) struct DeactivationAccepted {
    feature_id: Slug,
    status: FeatureStatus,
}

impl ActivationAccepted {
    fn new(row: &ActivationRow, estimate: Option<i64>) -> Self {
        Self {
            activation_id: row.id,
            feature_id: row.feature_id.clone(),
            status: row.status,
            provision_job_id: row.provision_job_id,
            estimated_duration_seconds: estimate.filter(|_| row.status.is_activating()),
        }
    }
}

/// Requests the activation of a feature. Keeps an activation that has the version already, or is about to.
pub(crate) async fn activate(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    key: &ActivationKey,
    version: &Version,
) -> Result<Done<ActivationAccepted>> {
    app.db
        .tx("feature.activate", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let entity = entities::store::lock_shared(c, scope, &key.entity).await?;
            let entity = entity.ok_or_else(|| Error::not_found("entity", &key.entity))?;
            // A stack of the tenant defines the feature, and the tenant may be outside the caller's scope.
            let c = &*tx.widen_to_platform(scope).await?;
            let (before, from_stack, estimate) = tokio::try_join!(
                store::lock_for_update(c, scope, key),
                store::stack_feature(c, scope, entity.tenant(), &key.feature),
                store::estimate(c, &ctx.caller.scope)
            )?;
            if let Some(before) = &before {
                ctx.check_match(&ActivationView::from(before))?;
            }
            let covers = |row: &&ActivationRow| Activation::from((*row).clone()).covers(version);
            if let Some(before) = before.as_ref().filter(covers) {
                return Ok(ActivationAccepted::new(before, estimate));
            }
            let after = request(before.as_ref(), key, version, JobId::generate(), from_stack)?;
            check_names(&key.platform, &after.stack_id, &key.feature, key.environment)
                .map_err(|reason| Error::invalid("featureId", reason))?;
            lock_stack(tx, scope, &after).await?;
            platforms::quota::check_features(tx, ctx, scope, &app.settings.quotas, &[&key.feature]).await?;
            let record =
                record_transition(Record::default(), FeatureTransition::Activate, before.as_ref(), &after);
            let more = json!({ "featureVersion": version });
            let record = with_command(record, &after, JobType::ActivateFeature, more);
            let answer = ActivationAccepted::new(&after, estimate);
            begin_build(tx, record, after, answer).await
        })
        .await
}

/// Requests the deactivation of a feature.
pub(crate) async fn deactivate(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    key: &ActivationKey,
    delete_data: bool,
) -> Result<Done<DeactivationAccepted>> {
    app.db
        .tx("feature.deactivate", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            let before = store::lock_for_update(c, scope, key).await?;
            let before = before.ok_or_else(|| Error::not_found("feature", &key.feature))?;
            ctx.check_match(&ActivationView::from(&before))?;
            tx.widen_to_platform(scope).await?;
            let job = JobId::generate();
            let after = before.apply(&ActivationEvent::DeactivationRequested { job })?;
            lock_stack(tx, scope, &after).await?;
            let record =
                record_transition(Record::default(), FeatureTransition::Deactivate, Some(&before), &after);
            let more = json!({ "deleteData": delete_data });
            let record = with_command(record, &after, JobType::DeactivateFeature, more);
            let answer = DeactivationAccepted { feature_id: after.feature_id.clone(), status: after.status };
            begin_build(tx, record, after, answer).await
        })
        .await
}

/// Returns the activation after a request for a version. `from_stack` is the feature as a stack of the tenant defines
/// it, if any.
///
/// # Errors
/// [`Kind::InvalidTransition`].
pub(super) fn request(
    before: Option<&ActivationRow>,
    key: &ActivationKey,
    version: &Version,
    job: JobId,
    from_stack: Option<StackFeature>,
) -> Result<ActivationRow> {
    let source = from_stack.map_or_else(|| FeatureSource::without_stack(&key.feature), FeatureSource::from);
    let request = ActivationRequest { version: version.clone(), source, job };
    match before {
        Some(before) => before.apply(&ActivationEvent::Requested(request)),
        None => Ok(Activation::new(ActivationId::generate(), key.clone(), request, clock::now()).into()),
    }
}

/// Locks the stack of the feature's service. Otherwise a job of the stack and a job of the feature could undo each
/// other.
///
/// # Errors
/// [`Kind::Conflict`] if the stack is being changed.
pub(super) async fn lock_stack(tx: &mut Tx, scope: &PlatformScope, row: &ActivationRow) -> Result<()> {
    if row.stack_id == StackId::default_stack() {
        return Ok(());
    }
    let status = parents::lock_stack(tx.conn().await?, scope, &row.stack_id).await?;
    if status.is_changing() {
        let message = "The stack of the feature is being changed. Try again when that is done.";
        return Err(Error::new(Kind::Conflict, message)
            .with("stackId", &row.stack_id)
            .with("status", status));
    }
    Ok(())
}

/// Outbox subject of the activation's jobs. Requests for one service are delivered in order; requests for other
/// services do not wait for them.
pub(super) fn subject(row: &ActivationRow) -> String {
    format!("{}/{}/{}", row.platform_id, row.feature_id, row.environment)
}

/// Adds the request for a job to a record. The input contains the key of the activation and the fields in `more`.
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
pub(crate) fn record_transition(
    record: Record,
    transition: FeatureTransition,
    before: Option<&ActivationRow>,
    after: &ActivationRow,
) -> Record {
    let record = record.and(action(transition), super::AUDIT_TYPE, after.id);
    let record = record.in_platform(&after.platform_id).after(&ActivationView::from(after));
    match before {
        Some(before) => record.before(&ActivationView::from(before)),
        None => record.count(store::counter(&after.platform_id, &after.entity_id), 1),
    }
}

/// Writes a change that requests a job, with its build. The build has the id of the job.
pub(super) async fn begin_build<T: Serialize>(
    tx: &mut Tx,
    record: Record,
    after: ActivationRow,
    answer: T,
) -> Result<T> {
    let build = NewBuild::for_job(after.provision_job_id, after.environment).into_row(&after.platform_id);
    let record = record
        .and("build.started", crate::builds::AUDIT_TYPE, build.id)
        .in_platform(&after.platform_id)
        .after(&Build::from(&build));
    finish(tx, record, after, Some(build), answer).await
}

/// Writes a change: the activation, the manifest's tag, the build if any, and the record.
pub(super) async fn finish<T: Serialize>(
    tx: &mut Tx,
    record: Record,
    after: ActivationRow,
    build: Option<BuildRow>,
    answer: T,
) -> Result<T> {
    let tag = store::touch(ManifestTag::for_activation(&after));
    // The next run finds the activation of the concurrent request.
    let on_constraint = |constraint: &str| {
        (constraint == "feature_activations_one")
            .then(|| Error::concurrent_write("another request activated the feature at the same time"))
    };
    match build {
        None => tx.finish((store::upsert(after), tag), record, answer, on_constraint).await,
        Some(build) => {
            tx.finish(
                (store::upsert(after), tag, builds::store::upsert(build)),
                record,
                answer,
                on_constraint,
            )
            .await
        }
    }
}
