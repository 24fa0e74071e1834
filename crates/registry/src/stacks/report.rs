//! What provisioning reports of the jobs for stacks. Reports may come twice, and late: a job that is older than the one
//! the stack knows changes nothing of it.
//!
//! All that a job changes is written by one statement at its end: the stack, the tenant's activations, the manifest's
//! tag. So whoever reads sees one whole version at any time.

use std::collections::BTreeMap;

use database::{Record, Tx};
use domain::{
    Error, Result, Slug, StackId, Version,
    build::BuildStatus,
    feature::FeatureEvent,
    job::JobType,
    resource::Environment,
    stack::{StackEvent, StackStatus},
};
use identity::{Done, PlatformScope, WriteCtx};
use runtime::clock;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    change::{kept, take_out, template_of},
    definition::Known,
    model::{Stack, Wanted},
    ops::{named, start_build},
    plan::{Part, Present},
    store,
};
use crate::{
    App,
    builds::{self, model::Build},
    features::{
        self,
        model::{Activation, ManifestTag, Place},
        ops::written,
    },
    platforms,
};

/// A job, as provisioning names it.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) platform: domain::PlatformId,
    pub(crate) stack: StackId,
    pub(crate) kind: JobType,
}

/// The service of one feature, before and after a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) feature: Slug,
    /// What it is to run when the job is done, and when it is undone.
    pub(crate) version: Option<Version>,
    pub(crate) version_before: Option<Version>,
}

/// What a job that begins has to know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) superseded: bool,
    pub(crate) owner: String,
    pub(crate) services: Vec<Service>,
    pub(crate) shared: Vec<String>,
    pub(crate) shared_before: Vec<String>,
}

/// A job begins. One that the registry did not ask for itself takes the place of an older one, as if it had.
pub(crate) async fn begin(app: &App, ctx: &WriteCtx, job: &Job) -> Result<Done<Begun>> {
    let scope = ctx.platform(&job.platform)?;
    app.db
        .tx("stack.begin", ctx, async |tx| {
            let c = tx.conn().await?;
            // What is gone with its platform is to be taken down all the same.
            if job.kind == JobType::ActivateStack {
                platforms::ops::hold(c, ctx, &scope).await?;
            }
            let before = store::lock(c, &scope, &job.stack).await?;
            let known = before.provision_job_id.unwrap_or_default();
            let owner = before.tenant_id.to_string();
            match job.kind {
                _ if known > job.id => Ok(Begun { superseded: true, owner, ..Begun::default() }),
                JobType::ActivateStack if before.deleted_at.is_none() => {
                    activate(tx, &scope, job, before).await
                }
                JobType::ActivateStack => Err(Error::not_found("stack", &job.stack)),
                _ if before.deleted_at.is_some() => Ok(Begun { owner, ..Begun::default() }),
                _ => {
                    take_out(tx, &scope, before, job.id, |record, _| record).await?;
                    Ok(Begun { owner, ..Begun::default() })
                }
            }
        })
        .await
}

/// Whether a job that waits for another one still has something to wait for.
pub(crate) async fn wait(app: &App, ctx: &WriteCtx, job: &Job) -> Result<Begun> {
    let scope = ctx.platform(&job.platform)?;
    let known = app.db.read(ctx, async |c| store::any(c, &scope, &job.stack).await).await?;
    Ok(Begun { superseded: known.provision_job_id.unwrap_or_default() > job.id, ..Begun::default() })
}

/// The job that was asked for last begins, or one that someone gave to provisioning itself: it does once more what the
/// stack runs.
async fn activate(tx: &mut Tx, scope: &PlatformScope, job: &Job, before: Stack) -> Result<Begun> {
    let (asked, build) = if before.provision_job_id == Some(job.id) {
        (before.clone(), None)
    } else {
        let template = template_of(&before)?;
        let edition =
            before.edition().ok_or_else(|| Error::internal(format!("{template} has no version")))?;
        let asked = before.asked(StackEvent::Upgrade, &Wanted { edition, back: false }, job.id)?;
        let build = start_build(&asked, job.id);
        (asked, Some(build))
    };
    if asked.status == StackStatus::Active {
        return Err(Error::internal("the job has ended already"));
    }
    let begun = begun(tx, scope, &asked).await?;
    if asked.status != StackStatus::Pending {
        return Ok(begun);
    }
    let after = asked.stepped(StackEvent::Begin)?;
    let record = Record::change("stack.provisioning", super::AUDIT_TYPE, &after.id);
    let record = record.of(scope.id()).before(&before).after(&after);
    tx.finish((store::update(after), builds::store::insert_any(build)), record, begun, |_| None).await
}

/// What the job has to know. It stays the same until the job ends: until then nothing else changes the stack.
async fn begun(tx: &mut Tx, scope: &PlatformScope, stack: &Stack) -> Result<Begun> {
    let wanted = stack.wanted()?;
    let known = kept(tx, template_of(stack)?, &wanted.edition.version).await?;
    let c = tx.conn().await?;
    let present = Present::of(&stack.id, features::store::around(c, scope, stack, &known).await?);
    let sharers = store::sharers(c, scope, stack).await?;
    let mut services: BTreeMap<Slug, Service> = BTreeMap::new();
    let service = |feature: &Slug| {
        // No entity is served by less than what it runs.
        let others =
            sharers.iter().filter(|one| one.feature_id == *feature).map(|one| &one.live_version).max();
        Service { feature: feature.clone(), version: others.cloned(), version_before: others.cloned() }
    };
    let with_service = |parts: Vec<Part>| parts.into_iter().filter(|part| part.has_service);
    for part in with_service(present.parts()) {
        let one = services.entry(part.feature.clone()).or_insert_with_key(service);
        one.version_before = one.version_before.take().max(Some(part.version));
    }
    for part in with_service(present.target(&known)) {
        let one = services.entry(part.feature.clone()).or_insert_with_key(service);
        one.version = one.version.take().max(Some(part.version));
    }
    Ok(Begun {
        superseded: false,
        owner: stack.tenant_id.to_string(),
        services: services.into_values().collect(),
        shared: known.shared(),
        shared_before: stack.shared.clone(),
    })
}

/// How a job ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Why it is undone; none when it is done.
    pub(crate) error: Option<String>,
    /// Where the services are reached, by feature.
    pub(crate) served: BTreeMap<Slug, String>,
}

/// A job has ended. The platform may be gone by then.
pub(crate) async fn end(app: &App, ctx: &WriteCtx, job: &Job, outcome: &Outcome) -> Result<Done<()>> {
    let scope = ctx.platform(&job.platform)?;
    app.db
        .tx("stack.end", ctx, async |tx| {
            let c = tx.conn().await?;
            let before = store::lock(c, &scope, &job.stack).await?;
            let build = builds::store::find(c, &scope, job.id).await?;
            let status = if outcome.error.is_some() { BuildStatus::Failed } else { BuildStatus::Success };
            // What has failed stays so, whatever comes late.
            let build = build.filter(|build| ![status, BuildStatus::Failed].contains(&build.build_status));
            let mut end = End { scope: &scope, before: &before, build, status };
            if before.provision_job_id != Some(job.id) || before.deleted_at.is_some() {
                return end.nothing(tx).await;
            }
            match (&outcome.error, before.status) {
                (None, StackStatus::Provisioning) => end.done(tx, outcome).await,
                (Some(why), StackStatus::Pending | StackStatus::Provisioning) => {
                    end.undone(tx, before.failed(why)?).await
                }
                (Some(why), StackStatus::Active) => end.taken_back(tx, why).await,
                _ => end.nothing(tx).await,
            }
        })
        .await
}

/// The end of a job, about to be written.
struct End<'a> {
    scope: &'a PlatformScope,
    before: &'a Stack,
    /// The build, if it has yet to be told how it ended.
    build: Option<Build>,
    status: BuildStatus,
}

impl End<'_> {
    /// Everything is in place: from now on it is the new version that is seen.
    async fn done(&mut self, tx: &mut Tx, outcome: &Outcome) -> Result<()> {
        let (stack, wanted) = (self.before, self.before.wanted()?);
        let known = kept(tx, template_of(stack)?, &wanted.edition.version).await?;
        let rows = features::store::around(tx.conn().await?, self.scope, stack, &known).await?;
        let present = Present::of(&stack.id, rows);
        let mut target = present.target(&known);
        for part in &mut target {
            part.service_url = outcome.served.get(&part.feature).cloned();
        }
        let after = stack.completed(wanted, &known, present.parts())?;
        self.switch(tx, after, &target, present, &known).await
    }

    /// Nothing of it was ever seen.
    async fn undone(&mut self, tx: &mut Tx, after: Stack) -> Result<()> {
        let action = if self.before.is_live { "stack.reverted" } else { "stack.failed" };
        let record = Record::change(action, super::AUDIT_TYPE, &after.id);
        let (record, build) = self.record(record, &after);
        tx.finish((store::update(after), builds::store::put_any(build)), record, (), |_| None).await
    }

    /// A job that was done is undone: what it has replaced is seen again.
    async fn taken_back(&mut self, tx: &mut Tx, why: &str) -> Result<()> {
        let stack = self.before;
        let Some(replaced) = stack.replaced()? else { return self.nothing(tx).await };
        let after = stack.taken_back(&replaced, why)?;
        let template = template_of(stack)?;
        let version = after.template_version.clone().ok_or_else(|| Error::internal("no version"))?;
        let known = kept(tx, template, &version).await?;
        // What was changed since, by a job of its own, stays as it is.
        let mut rows = features::store::of_stack(tx.conn().await?, self.scope, &stack.id).await?;
        rows.retain(|row| row.entity_id == stack.tenant_id && row.environment == Environment::Prod);
        rows.retain(|row| Some(row.provision_job_id) == stack.provision_job_id);
        let present = Present::of(&stack.id, rows);
        let mut target = replaced.parts;
        target.retain(|part| present.row(&part.feature).is_some());
        self.switch(tx, after, &target, present, &known).await
    }

    /// The one statement by which another version is seen.
    async fn switch(
        &mut self,
        tx: &mut Tx,
        after: Stack,
        target: &[Part],
        present: Present,
        known: &Known,
    ) -> Result<()> {
        let (job, features) = (after.provision_job_id.unwrap_or_default(), named(known, &after));
        let action = match (&after.error, self.before.is_live) {
            (Some(_), _) => "stack.reverted",
            (None, true) => "stack.upgraded",
            (None, false) => "stack.activated",
        };
        let (mut record, build) = self.record(Record::change(action, super::AUDIT_TYPE, &after.id), &after);
        let mut rows = Vec::new();
        for part in target {
            let place = Place {
                platform: after.platform_id.clone(),
                entity: after.tenant_id.clone(),
                feature: part.feature.clone(),
                environment: Environment::Prod,
            };
            let before = present.row(&part.feature);
            let row = Activation::arranged(before, &place, &after.id, part, job)?;
            record =
                written(record.and("feature.activated", crate::features::AUDIT_TYPE, row.id), before, &row);
            rows.push(row);
        }
        let gone = |row: &&Activation| !target.iter().any(|part| part.feature == row.feature_id);
        for before in present.own.iter().filter(|row| row.live_version.is_some()).filter(gone) {
            let row = before.taken_out(job)?;
            record = written(
                record.and("feature.deactivated", crate::features::AUDIT_TYPE, row.id),
                Some(before),
                &row,
            );
            rows.push(row);
        }
        let tag = ManifestTag::new(&after.platform_id, &after.tenant_id, Environment::Prod);
        let names = features.iter().map(|feature| feature.feature_id.clone()).collect();
        let change = (
            store::drop_named(after.id.clone(), names),
            store::put_named(features),
            store::update(after),
            features::store::put_all(rows),
            features::store::touch(tag),
            builds::store::put_any(build),
        );
        // A feature that was asked for at the same time is seen by the next run.
        let met = |constraint: &str| {
            (constraint == "feature_activations_one").then(|| Error::met("a feature was asked for meanwhile"))
        };
        tx.finish(change, record, (), met).await
    }

    /// Only the build is told how it ended.
    async fn nothing(&mut self, tx: &mut Tx) -> Result<()> {
        match self.build.take() {
            None => Ok(()),
            Some(build) => {
                let ended = build.finished(self.status, None);
                let record = Record::default().and("build.finished", crate::builds::AUDIT_TYPE, build.id);
                let record = record.of(self.scope.id()).before(&build).after(&ended);
                tx.finish((builds::store::put(ended),), record, (), |_| None).await
            }
        }
    }

    fn record(&mut self, record: Record, after: &Stack) -> (Record, Option<Build>) {
        let record = record.of(self.scope.id()).before(self.before).after(after);
        let Some(build) = self.build.take() else { return (record, None) };
        let ended = build.finished(self.status, None);
        let record = record.and("build.finished", crate::builds::AUDIT_TYPE, build.id);
        (record.of(self.scope.id()).before(&build).after(&ended), Some(ended))
    }
}

impl Activation {
    /// The activation once its stack has brought it to what `part` says, whatever it was.
    fn arranged(
        before: Option<&Self>,
        place: &Place,
        stack: &StackId,
        part: &Part,
        job: Uuid,
    ) -> Result<Self> {
        let asked = Self::requested(before, place, part.version.clone(), job, None)?;
        let begun = asked.stepped(FeatureEvent::Begin)?;
        let mut after = begun.stepped(FeatureEvent::Complete)?;
        after.stack_id = stack.clone();
        (after.package, after.has_service) = (part.package.clone(), part.has_service);
        (after.live_version, after.live_package) = (Some(part.version.clone()), Some(part.package.clone()));
        after.service_url.clone_from(&part.service_url);
        (after.activated_at, after.deactivated_at) = (Some(clock::now()), None);
        after.has_data |= part.has_service;
        // It is not what the activation of one feature takes.
        after.took_ms = None;
        Ok(after)
    }

    /// The activation once its stack runs without it; its data stays.
    pub(super) fn taken_out(&self, job: Uuid) -> Result<Self> {
        let mut after = self.given_up(job)?.stepped(FeatureEvent::Remove)?;
        after.deactivated_at = Some(after.updated_at);
        Ok(after)
    }
}
