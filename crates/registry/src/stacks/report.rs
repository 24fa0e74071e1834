//! Reports of provisioning about the jobs of stacks. A report may be repeated or late: a report about an older job than
//! the last requested one changes nothing.
//!
//! The end of a job is one statement that writes all its changes: the stack, the tenant's activations and the
//! manifest's tag. Readers therefore always see one complete version.

use std::collections::BTreeMap;

use database::{Record, Tx};
use domain::{
    ActivationId, BuildId, Error, JobId, PlatformId, Result, Slug, StackId,
    build::BuildStatus,
    deployment::{
        ActivationEvent, CurrentActivations, FeatureTransition, JobEffect, PlannedFeature, Release, Replaced,
        ServiceVersions, Stack, StackEvent, StackStatus, Target,
    },
    job::JobType,
    resource::{Environment, ResourceType},
};
use identity::{Done, PlatformScope, WriteCtx};
use runtime::clock;
use serde::{Deserialize, Serialize};

use super::{
    deletion::delete_row,
    model::StackRow,
    ops::{current_activations, start_build, stored_version},
    store,
    view::StackView,
};
use crate::{
    App,
    builds::{self, model::BuildRow, view::Build},
    features::{
        self,
        model::{ActivationRow, ManifestTag},
        ops::record_transition,
    },
    platforms,
};

/// Error of the stacks whose platform's infrastructure was removed.
const PLATFORM_REMOVED: &str = "the infrastructure of the platform was removed";

/// Job of a stack, as provisioning identifies it.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) platform: PlatformId,
    pub(crate) stack: StackId,
    pub(crate) kind: JobType,
}

/// Input of a job that starts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct JobInput {
    pub(crate) superseded: bool,
    pub(crate) owner: String,
    pub(crate) services: Vec<ServiceVersions>,
    pub(crate) shared: Vec<ResourceType>,
    pub(crate) shared_before: Vec<ResourceType>,
}

/// Report that a job ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Reason why the job was undone; `None` if it is done.
    pub(crate) error: Option<String>,
    /// Addresses of the services, by feature.
    pub(crate) served: BTreeMap<Slug, String>,
}

/// Records that a job starts. A job that the registry did not request replaces an older one, as if it had been
/// requested here.
pub(crate) async fn begin(app: &App, ctx: &WriteCtx, job: &Job) -> Result<Done<JobInput>> {
    let scope = ctx.platform(&job.platform)?;
    app.db
        .tx("stack.begin", ctx, async |tx| {
            let c = tx.conn().await?;
            // A stack is also removed after its platform was deleted.
            if job.kind == JobType::ActivateStack {
                platforms::ops::lock_shared(c, ctx, &scope).await?;
            }
            let before = store::lock_for_update(c, &scope, &job.stack).await?;
            let superseded = before.provision_job_id.is_some_and(|known| known > job.id);
            let owner = before.tenant_id.to_string();
            match job.kind {
                _ if superseded => Ok(JobInput { superseded: true, owner, ..JobInput::default() }),
                JobType::ActivateStack if before.deleted_at.is_none() => {
                    activate(tx, &scope, job, before).await
                }
                JobType::ActivateStack => Err(Error::not_found("stack", &job.stack)),
                _ if before.deleted_at.is_some() => Ok(JobInput { owner, ..JobInput::default() }),
                _ => {
                    delete_row(tx, &scope, before, job.id, |record, _| record).await?;
                    Ok(JobInput { owner, ..JobInput::default() })
                }
            }
        })
        .await
}

/// Returns whether a job that waits for another one is superseded.
pub(crate) async fn wait(app: &App, ctx: &WriteCtx, job: &Job) -> Result<JobInput> {
    let scope = ctx.platform(&job.platform)?;
    let known = app.db.read(ctx, async |c| store::get_any(c, &scope, &job.stack).await).await?;
    let superseded = known.provision_job_id.is_some_and(|known| known > job.id);
    Ok(JobInput { superseded, ..JobInput::default() })
}

/// Starts the job that was requested last. A job that a caller sent to provisioning directly redeploys the running
/// version.
async fn activate(tx: &mut Tx, scope: &PlatformScope, job: &Job, before: StackRow) -> Result<JobInput> {
    let (requested, build) = if before.provision_job_id == Some(job.id) {
        (before.clone(), None)
    } else {
        let template = before.template()?;
        let version = Stack::try_from(before.clone())?.version();
        let version = version.ok_or_else(|| Error::internal(format!("{template} has no version")))?;
        let target = Target { version, is_rollback: false };
        let requested = before.apply(&StackEvent::Requested { target, job: job.id })?;
        let build = start_build(&requested, job.id);
        (requested, Some(build))
    };
    if requested.status == StackStatus::Active {
        return Err(Error::internal("the job has ended already"));
    }
    let input = job_input(tx, scope, &requested).await?;
    if requested.status != StackStatus::Pending {
        return Ok(input);
    }
    let after = requested.apply(&StackEvent::JobBegan { job: job.id })?;
    let record = Record::change("stack.provisioning", super::AUDIT_TYPE, &after.id);
    let record =
        record.in_platform(scope.id()).before(&StackView::from(&before)).after(&StackView::from(&after));
    tx.finish((store::update(after), builds::store::insert_any(build)), record, input, |_| None).await
}

/// Collects the input of a job. It stays the same until the job ends, because nothing else can change the stack.
async fn job_input(tx: &mut Tx, scope: &PlatformScope, row: &StackRow) -> Result<JobInput> {
    let target = Stack::try_from(row.clone())?.target;
    let target = target.ok_or_else(|| Error::internal("the stack has no target"))?;
    let release = stored_version(tx, row.template()?, &target.version.version).await?.release();
    let c = tx.conn().await?;
    let current = current_activations(c, scope, row, &release).await?;
    let sharers = store::sharers(c, scope, row).await?;
    let others: Vec<_> = sharers.into_iter().map(|one| (one.feature_id, one.live_version)).collect();
    Ok(JobInput {
        superseded: false,
        owner: row.tenant_id.to_string(),
        services: current.services(&release, &others),
        shared: release.shared,
        shared_before: row.shared.clone(),
    })
}

/// Records that a job ended. The platform may be deleted by then.
pub(crate) async fn end(app: &App, ctx: &WriteCtx, job: &Job, outcome: &Outcome) -> Result<Done<()>> {
    let scope = ctx.platform(&job.platform)?;
    app.db
        .tx("stack.end", ctx, async |tx| {
            let c = tx.conn().await?;
            let before = store::lock_for_update(c, &scope, &job.stack).await?;
            let build = builds::store::find(c, &scope, BuildId::of_job(job.id)).await?;
            let status = if outcome.error.is_some() { BuildStatus::Failed } else { BuildStatus::Success };
            // A failed build stays failed, whatever is reported later.
            let build = build.filter(|build| ![status, BuildStatus::Failed].contains(&build.build_status));
            let stack = Stack::try_from(before.clone())?;
            let effect = stack.effect_of_end(job.id, outcome.error.is_none());
            let end = End { scope: &scope, job: job.id, before: &before, stack: &stack, build, status };
            match (effect, &outcome.error) {
                (JobEffect::Completed(target), None) => end.complete(tx, target, &outcome.served).await,
                (JobEffect::Failed, Some(error)) => end.fail(tx, error).await,
                (JobEffect::RolledBack(replaced), Some(error)) => end.roll_back(tx, replaced, error).await,
                _ => end.finish_build(tx).await,
            }
        })
        .await
}

/// End of a job, about to be written.
struct End<'a> {
    scope: &'a PlatformScope,
    job: JobId,
    before: &'a StackRow,
    stack: &'a Stack,
    /// The build, unless its end is already recorded.
    build: Option<BuildRow>,
    status: BuildStatus,
}

impl End<'_> {
    /// Switches to the target of the job.
    async fn complete(self, tx: &mut Tx, target: &Target, served: &BTreeMap<Slug, String>) -> Result<()> {
        let release = stored_version(tx, self.before.template()?, &target.version.version).await?.release();
        let current = current_activations(tx.conn().await?, self.scope, self.before, &release).await?;
        let mut features = current.target(&release);
        for feature in &mut features {
            feature.service_url = served.get(&feature.feature).cloned();
        }
        let event = StackEvent::JobCompleted {
            job: self.job,
            shared: release.shared.clone(),
            features_before: current.running(),
        };
        let after = self.stack.apply(&event, clock::now())?;
        self.switch(tx, after, &features, &current, &release).await
    }

    /// Records a failure before readers saw any effect.
    async fn fail(self, tx: &mut Tx, error: &str) -> Result<()> {
        let event = StackEvent::JobFailed { job: self.job, error: error.to_owned() };
        let after = self.before.apply(&event)?;
        let action = if self.before.is_live { "stack.reverted" } else { "stack.failed" };
        let record = Record::change(action, super::AUDIT_TYPE, &after.id);
        let (record, build) = self.record(record, &after);
        tx.finish((store::update(after), builds::store::upsert_any(build)), record, (), |_| None).await
    }

    /// Switches back to what the job replaced.
    async fn roll_back(self, tx: &mut Tx, replaced: &Replaced, error: &str) -> Result<()> {
        let event = StackEvent::JobFailed { job: self.job, error: error.to_owned() };
        let after = self.stack.apply(&event, clock::now())?;
        let template = self.before.template()?;
        let version = after.version().ok_or_else(|| Error::internal("no version"))?.version;
        let release = stored_version(tx, template, &version).await?.release();
        // A feature that one of its own jobs changed since stays as it is.
        let current = current_activations(tx.conn().await?, self.scope, self.before, &release).await?;
        let current = current.changed_by(self.stack.job);
        let mut features = replaced.features.clone();
        features.retain(|feature| current.get(&feature.feature).is_some());
        self.switch(tx, after, &features, &current, &release).await
    }

    /// Writes the one statement that switches readers to another version.
    async fn switch(
        self,
        tx: &mut Tx,
        after: Stack,
        features: &[PlannedFeature],
        current: &CurrentActivations,
        release: &Release,
    ) -> Result<()> {
        let changes = current.switch(&after, features, ActivationId::generate, clock::now())?;
        let after = StackRow::try_from(after)?;
        let action = match (&after.error, self.before.is_live) {
            (Some(_), _) => "stack.reverted",
            (None, true) => "stack.upgraded",
            (None, false) => "stack.activated",
        };
        let (mut record, build) = self.record(Record::change(action, super::AUDIT_TYPE, &after.id), &after);
        let mut rows = Vec::new();
        for change in changes {
            let before = change.before.map(ActivationRow::from);
            let row = ActivationRow::from(change.after);
            record = record_transition(record, change.transition, before.as_ref(), &row);
            rows.push(row);
        }
        let tag = ManifestTag::new(&after.platform_id, &after.tenant_id, Environment::Prod);
        let named = after.features(release);
        let change = (
            store::delete_other_features(
                after.id.clone(),
                named.iter().map(|row| row.feature_id.clone()).collect(),
            ),
            store::upsert_features(named),
            store::update(after),
            features::store::upsert_all(rows),
            features::store::touch(tag),
            builds::store::upsert_any(build),
        );
        // The next run sees the feature that was requested at the same time.
        let on_constraint = |constraint: &str| {
            (constraint == "feature_activations_one")
                .then(|| Error::concurrent_write("a feature was requested at the same time"))
        };
        tx.finish(change, record, (), on_constraint).await
    }

    /// Records only the end of the build.
    async fn finish_build(self, tx: &mut Tx) -> Result<()> {
        let Some(build) = self.build else { return Ok(()) };
        let ended = build.finished(self.status, None);
        let record = Record::default().and("build.finished", crate::builds::AUDIT_TYPE, build.id);
        let record =
            record.in_platform(self.scope.id()).before(&Build::from(&build)).after(&Build::from(&ended));
        tx.finish((builds::store::upsert(ended),), record, (), |_| None).await
    }

    /// Adds the change of the stack and the end of the build to a record.
    fn record(self, record: Record, after: &StackRow) -> (Record, Option<BuildRow>) {
        let record = record.in_platform(self.scope.id());
        let record = record.before(&StackView::from(self.before)).after(&StackView::from(after));
        let Some(build) = self.build else { return (record, None) };
        let ended = build.finished(self.status, None);
        let record = record.and("build.finished", crate::builds::AUDIT_TYPE, build.id);
        let record =
            record.in_platform(self.scope.id()).before(&Build::from(&build)).after(&Build::from(&ended));
        (record, Some(ended))
    }
}

/// Records that the infrastructure of a platform was removed: nothing runs any more. Keeps the changes of later jobs.
pub(crate) async fn clear(app: &App, ctx: &WriteCtx, scope: &PlatformScope, job: JobId) -> Result<Done<()>> {
    app.db
        .tx("platform.clear", ctx, async |tx| {
            let c = tx.conn().await?;
            let stacks = store::lock_running_before(c, scope, job).await?;
            let rows = features::store::lock_running_before(c, scope, job).await?;
            let (mut record, mut ended, mut tags, mut ids) =
                (Record::default(), Vec::new(), Vec::new(), Vec::new());
            for row in rows {
                let after = row.apply(&ActivationEvent::StackRemoved { job })?;
                record = record_transition(record, FeatureTransition::Remove, Some(&row), &after);
                tags.push(ManifestTag::for_activation(&row));
                ended.push(after);
            }
            let now = clock::now();
            let event = StackEvent::PlatformRemoved { reason: PLATFORM_REMOVED.to_owned() };
            for stack in stacks {
                let after = StackRow::try_from(Stack::try_from(stack.clone())?.apply(&event, now)?)?;
                record = record.and("stack.failed", super::AUDIT_TYPE, &stack.id);
                record = record
                    .in_platform(scope.id())
                    .before(&StackView::from(&stack))
                    .after(&StackView::from(&after));
                ids.push(stack.id);
            }
            if ended.is_empty() && ids.is_empty() {
                return Ok(());
            }
            let change = (
                store::clear(ids, PLATFORM_REMOVED.to_owned(), now),
                features::store::upsert_all(ended),
                features::store::touch_all(tags),
            );
            tx.finish(change, record, (), |_| None).await
        })
        .await
}
