//! Reports of provisioning about the jobs of features. A report may be repeated or late: a report about an older job
//! than the last requested one changes nothing.

use database::{Conn, Record, Tx};
use domain::{
    BuildId, EntityId, Error, JobId, Kind, Result, StackId, Version,
    build::BuildStatus,
    deployment::{ActivationEvent, ActivationKey, FeatureJobEnd, FeatureJobKind, FeatureTransition},
    feature::check_names,
    resource::ResourceType,
};
use identity::{Done, PlatformScope, WriteCtx};
use serde::{Deserialize, Serialize};

use super::{
    model::ActivationRow,
    ops::{begin_build, finish, lock_stack, record_transition, request},
    store::{self, Sharers},
};
use crate::{
    App,
    builds::{self, view::Build},
    entities, platforms,
};

/// Job of a feature, as provisioning identifies it.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) key: ActivationKey,
    /// Version to activate; `None` for a job that deactivates.
    pub(crate) version: Option<Version>,
}

/// Input of a job that starts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct JobInput {
    pub(crate) superseded: bool,
    pub(crate) stack: Option<StackId>,
    pub(crate) owner: String,
    pub(crate) has_service: bool,
    /// Version of the service after the job.
    pub(crate) version: Option<Version>,
    /// Version of the service after the job is undone.
    pub(crate) version_before: Option<Version>,
    /// True if there is data that this job did not create.
    pub(crate) has_data: bool,
    /// True if the data of the service also belongs to other entities.
    pub(crate) shares_data: bool,
    /// Version that the entity ran before.
    pub(crate) own_version_before: Option<Version>,
    /// Types of resources that the features of the stack share.
    pub(crate) shared: Vec<ResourceType>,
}

impl Job {
    /// Kind of the job.
    pub(crate) fn kind(&self) -> FeatureJobKind {
        match self.version {
            Some(_) => FeatureJobKind::Activate,
            None => FeatureJobKind::Deactivate,
        }
    }
}

/// Records that a job starts. A job that the registry did not request replaces an older one, as if it had been
/// requested here.
pub(crate) async fn begin(app: &App, ctx: &WriteCtx, job: &Job) -> Result<Done<JobInput>> {
    let scope = ctx.platform(&job.key.platform)?;
    app.db
        .tx("feature.begin", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, &scope).await?;
            let entity = entities::store::lock_shared(c, &scope, &job.key.entity).await?;
            let entity = entity.ok_or_else(|| Error::not_found("entity", &job.key.entity))?;
            let before = store::lock_for_update(c, &scope, &job.key).await?;
            match before {
                Some(before) if before.provision_job_id > job.id => {
                    Ok(JobInput { superseded: true, ..JobInput::default() })
                }
                Some(before) if before.provision_job_id == job.id => proceed(tx, &scope, job, before).await,
                before => adopt(tx, &scope, job, entity.tenant(), before).await,
            }
        })
        .await
}

/// Returns whether a job that waits for another one is superseded.
pub(crate) async fn wait(app: &App, ctx: &WriteCtx, job: &Job) -> Result<JobInput> {
    let scope = ctx.platform(&job.key.platform)?;
    let ActivationKey { entity, feature, environment, .. } = &job.key;
    let known = async |c: &Conn| store::get(c, &scope, entity, feature, *environment).await;
    match app.db.read(ctx, known).await {
        Ok(known) => Ok(JobInput { superseded: known.provision_job_id > job.id, ..JobInput::default() }),
        Err(error) if error.kind() == Kind::NotFound => Ok(JobInput::default()),
        Err(error) => Err(error),
    }
}

/// Starts the job that was requested last. A repeated report only reads the input again.
async fn proceed(tx: &mut Tx, scope: &PlatformScope, job: &Job, before: ActivationRow) -> Result<JobInput> {
    let input = job_input(tx.conn().await?, scope, job, Some(&before), &before).await?;
    let event = ActivationEvent::JobBegan { job: job.id };
    if job.version.is_none() || before.transition(&event).is_none() {
        return Ok(input);
    }
    let after = before.apply(&event)?;
    let record = record_transition(Record::default(), FeatureTransition::Begin, Some(&before), &after);
    finish(tx, record, after, None, input).await
}

/// Starts a job that a caller sent to provisioning directly.
async fn adopt(
    tx: &mut Tx,
    scope: &PlatformScope,
    job: &Job,
    tenant: &EntityId,
    before: Option<ActivationRow>,
) -> Result<JobInput> {
    let c = tx.conn().await?;
    let Job { id, key, .. } = job;
    let (transition, after) = match (&job.version, &before) {
        (Some(version), before) => {
            let from_stack = store::stack_feature(c, scope, tenant, &key.feature).await?;
            let requested = request(before.as_ref(), key, version, *id, from_stack)?;
            check_names(&key.platform, &requested.stack_id, &key.feature, key.environment)
                .map_err(|reason| Error::invalid("feature_id", reason))?;
            (FeatureTransition::Begin, requested.apply(&ActivationEvent::JobBegan { job: *id })?)
        }
        (None, Some(before)) => {
            let event = ActivationEvent::DeactivationRequested { job: *id };
            (FeatureTransition::Deactivate, before.apply(&event)?)
        }
        (None, None) => return Err(Error::not_found("feature", &key.feature)),
    };
    lock_stack(tx, scope, &after).await?;
    let input = job_input(tx.conn().await?, scope, job, before.as_ref(), &after).await?;
    let record = record_transition(Record::default(), transition, before.as_ref(), &after);
    begin_build(tx, record, after, input).await
}

/// Collects the input of a job: from its activation, and from the other entities that share the service.
async fn job_input(
    c: &Conn,
    scope: &PlatformScope,
    job: &Job,
    before: Option<&ActivationRow>,
    now: &ActivationRow,
) -> Result<JobInput> {
    let Sharers { versions, have_data } = store::sharers(c, scope, now).await?;
    let (owner, shared) = if now.stack_id == StackId::default_stack() {
        (scope.id().to_string(), Vec::new())
    } else {
        let (tenant, shared) = store::stack_owner(c, scope, &now.stack_id).await?;
        (tenant.to_string(), shared)
    };
    // A service never runs a lower version than any entity that uses it.
    let highest = |own: Option<&Version>| versions.iter().chain(own).max().cloned();
    let ran = match &job.version {
        Some(_) => before.and_then(|before| before.live_version.as_ref()),
        // The request to deactivate removed it from the manifest already.
        None => Some(&now.feature_version),
    };
    Ok(JobInput {
        superseded: false,
        owner,
        has_service: now.has_service,
        version: highest(job.version.as_ref()),
        version_before: highest(ran),
        own_version_before: ran.cloned(),
        has_data: now.has_data || have_data,
        shares_data: have_data,
        stack: Some(now.stack_id.clone()),
        shared,
    })
}

/// Records that a job ended. The platform may be deleted by then.
pub(crate) async fn end(
    app: &App,
    ctx: &WriteCtx,
    job: &Job,
    end: &FeatureJobEnd,
    deployment: Option<&str>,
) -> Result<Done<()>> {
    let scope = ctx.platform(&job.key.platform)?;
    let event = ActivationEvent::JobEnded(end.clone());
    app.db
        .tx("feature.end", ctx, async |tx| {
            let c = tx.conn().await?;
            let Some(before) = store::lock_for_update(c, &scope, &job.key).await? else { return Ok(()) };
            let build = builds::store::find(c, &scope, BuildId::of_job(job.id)).await?;
            let status = if end.error.is_some() { BuildStatus::Failed } else { BuildStatus::Success };
            // A failed build stays failed, whatever is reported later.
            let build = build.filter(|build| ![status, BuildStatus::Failed].contains(&build.build_status));
            let ended = build.as_ref().map(|build| build.finished(status, deployment.map(str::to_owned)));
            let transition = before.transition(&event);
            let after = before.apply(&event)?;
            let record = match transition {
                Some(transition) => record_transition(Record::default(), transition, Some(&before), &after),
                None => Record::default(),
            };
            let record = match (&build, &ended) {
                (Some(build), Some(ended)) => record
                    .and("build.finished", crate::builds::AUDIT_TYPE, build.id)
                    .in_platform(&build.platform_id)
                    .before(&Build::from(build))
                    .after(&Build::from(ended)),
                _ => record,
            };
            match (transition, ended) {
                (Some(_), ended) => finish(tx, record, after, ended, ()).await,
                (None, Some(ended)) => tx.finish((builds::store::upsert(ended),), record, (), |_| None).await,
                (None, None) => Ok(()),
            }
        })
        .await
}
