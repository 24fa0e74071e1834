//! What provisioning reports of the jobs for features. Reports may come twice, and late: a job that is older than the
//! one the activation knows changes nothing of it.

use database::{Conn, Record, Tx};
use domain::{
    EntityId, Error, Kind, Result, StackId, Version,
    build::BuildStatus,
    feature::{FeatureEvent, FeatureStatus},
};
use identity::{Done, PlatformScope, WriteCtx};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    model::{Activation, Place},
    ops::{begin_build, finish, hold_stack, written},
    store::{self, Sharers},
};
use crate::{App, builds, entities, platforms, stacks};

/// A job, as provisioning names it.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) place: Place,
    /// The version to activate; none deactivates.
    pub(crate) version: Option<Version>,
}

/// What a job that begins has to know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) superseded: bool,
    pub(crate) stack: Option<StackId>,
    pub(crate) owner: String,
    pub(crate) has_service: bool,
    /// What the service is to run when the job is done, and when it is undone.
    pub(crate) version: Option<Version>,
    pub(crate) version_before: Option<Version>,
    /// Whether there is data that this job did not make.
    pub(crate) has_data: bool,
    /// Whether data of the service would be another entity's too.
    pub(crate) shares_data: bool,
    /// What the entity itself ran before.
    pub(crate) own_version_before: Option<Version>,
    /// What the features of its stack share.
    pub(crate) shared: Vec<String>,
}

/// How a job ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Why it is undone; none when it is done.
    pub(crate) error: Option<String>,
    pub(crate) service_url: Option<String>,
    pub(crate) deployment: Option<String>,
    pub(crate) gives_up_data: bool,
    /// What the entity ran before the job, when one that was done is undone.
    pub(crate) own_version_before: Option<Version>,
}

/// A job begins. One that the registry did not ask for itself takes the place of an older one, as if it had.
pub(crate) async fn begin(app: &App, ctx: &WriteCtx, job: &Job) -> Result<Done<Begun>> {
    let scope = ctx.platform(&job.place.platform)?;
    app.db
        .tx("feature.begin", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, &scope).await?;
            let entity = entities::store::hold(c, &scope, &job.place.entity).await?;
            let entity = entity.ok_or_else(|| Error::not_found("entity", &job.place.entity))?;
            let before = store::lock(c, &scope, &job.place).await?;
            match before {
                Some(before) if before.provision_job_id > job.id => {
                    Ok(Begun { superseded: true, ..Begun::default() })
                }
                Some(before) if before.provision_job_id == job.id => proceed(tx, &scope, job, before).await,
                before => adopt(tx, &scope, job, entity.tenant(), before).await,
            }
        })
        .await
}

/// Whether a job that waits for another one still has something to wait for.
pub(crate) async fn wait(app: &App, ctx: &WriteCtx, job: &Job) -> Result<Begun> {
    let scope = ctx.platform(&job.place.platform)?;
    let Place { entity, feature, environment, .. } = &job.place;
    let known = async |c: &Conn| store::get(c, &scope, entity, feature, *environment).await;
    match app.db.read(ctx, known).await {
        Ok(known) => Ok(Begun { superseded: known.provision_job_id > job.id, ..Begun::default() }),
        Err(error) if error.kind() == Kind::NotFound => Ok(Begun::default()),
        Err(error) => Err(error),
    }
}

/// The job that was asked for last begins; told twice, it has begun already.
async fn proceed(tx: &mut Tx, scope: &PlatformScope, job: &Job, before: Activation) -> Result<Begun> {
    let begun = begun(tx.conn().await?, scope, job, Some(&before), &before).await?;
    if job.version.is_none() || before.status != FeatureStatus::Pending {
        return Ok(begun);
    }
    let after = before.stepped(FeatureEvent::Begin)?;
    let record = Record::change("feature.provisioning", super::AUDIT_TYPE, after.id);
    finish(tx, written(record, Some(&before), &after), after, None, begun).await
}

/// A job that someone gave to provisioning itself.
async fn adopt(
    tx: &mut Tx,
    scope: &PlatformScope,
    job: &Job,
    tenant: &EntityId,
    before: Option<Activation>,
) -> Result<Begun> {
    let c = tx.conn().await?;
    let (action, after) = match (&job.version, &before) {
        (Some(version), before) => {
            let named = store::named(c, scope, tenant, &job.place.feature).await?;
            let asked = Activation::requested(before.as_ref(), &job.place, version.clone(), job.id, named)?;
            let place = &job.place;
            domain::feature::check_names(&place.platform, &asked.stack_id, &place.feature, place.environment)
                .map_err(|why| Error::invalid("feature_id", why))?;
            ("feature.provisioning", asked.stepped(FeatureEvent::Begin)?)
        }
        (None, Some(before)) => ("feature.deactivating", before.given_up(job.id)?),
        (None, None) => return Err(Error::not_found("feature", &job.place.feature)),
    };
    hold_stack(tx, scope, &after).await?;
    let begun = begun(tx.conn().await?, scope, job, before.as_ref(), &after).await?;
    let record = written(Record::change(action, super::AUDIT_TYPE, after.id), before.as_ref(), &after);
    begin_build(tx, record, after, begun).await
}

/// What the job has to know: of its own activation, and of the other entities that share the service.
async fn begun(
    c: &Conn,
    scope: &PlatformScope,
    job: &Job,
    before: Option<&Activation>,
    now: &Activation,
) -> Result<Begun> {
    let Sharers { versions, have_data } = store::sharers(c, scope, now).await?;
    let (owner, shared) = if now.stack_id == StackId::default_stack() {
        (scope.id().to_string(), Vec::new())
    } else {
        let (tenant, shared) = stacks::store::owner_of(c, scope, &now.stack_id).await?;
        (tenant.to_string(), shared)
    };
    // No entity is served by less than what it runs.
    let highest = |own: Option<&Version>| versions.iter().chain(own).max().cloned();
    let ran = match &job.version {
        Some(_) => before.and_then(|before| before.live_version.as_ref()),
        // It is taken out of the manifest as soon as it is given up.
        None => Some(&now.feature_version),
    };
    Ok(Begun {
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

/// A job has ended. The platform may be gone by then.
pub(crate) async fn end(app: &App, ctx: &WriteCtx, job: &Job, outcome: &Outcome) -> Result<Done<()>> {
    let scope = ctx.platform(&job.place.platform)?;
    app.db
        .tx("feature.end", ctx, async |tx| {
            let c = tx.conn().await?;
            let Some(before) = store::lock(c, &scope, &job.place).await? else { return Ok(()) };
            let build = builds::store::find(c, &scope, job.id).await?;
            let status = if outcome.error.is_some() { BuildStatus::Failed } else { BuildStatus::Success };
            // What has failed stays so, whatever comes late.
            let build = build.filter(|build| ![status, BuildStatus::Failed].contains(&build.build_status));
            let ended = build.as_ref().map(|build| build.finished(status, outcome.deployment.clone()));
            let after = ended_activation(job, &before, outcome)?;
            let record = match &after {
                Some((action, after)) => {
                    written(Record::change(action, super::AUDIT_TYPE, after.id), Some(&before), after)
                }
                None => Record::default(),
            };
            let record = match (&build, &ended) {
                (Some(build), Some(ended)) => record
                    .and("build.finished", crate::builds::AUDIT_TYPE, build.id)
                    .of(&build.platform_id)
                    .before(build)
                    .after(ended),
                _ => record,
            };
            match (after, ended) {
                (Some((_, after)), ended) => finish(tx, record, after, ended, ()).await,
                (None, Some(ended)) => tx.finish((builds::store::put(ended),), record, (), |_| None).await,
                (None, None) => Ok(()),
            }
        })
        .await
}

/// What the activation becomes by the end of its job, and what that is called; nothing by that of another job, nor
/// by what was reported before.
fn ended_activation(
    job: &Job,
    before: &Activation,
    outcome: &Outcome,
) -> Result<Option<(&'static str, Activation)>> {
    use FeatureEvent as E;
    // What was shown by the manifest still runs, unless the job had come to its end.
    let ran = match before.status {
        FeatureStatus::Active => outcome.own_version_before.as_ref(),
        _ => before.live_version.as_ref(),
    };
    let (event, action) = match (&job.version, &outcome.error, ran) {
        (Some(_), None, _) => (E::Complete, "feature.activated"),
        (Some(_), Some(_), Some(_)) => (E::Revert, "feature.reverted"),
        (Some(_), Some(_), None) => (E::Fail, "feature.failed"),
        (None, None, _) => (E::Remove, "feature.deactivated"),
        (None, Some(_), _) => (E::Restore, "feature.restored"),
    };
    let there = domain::feature::TRANSITIONS.iter().any(|(_, on, to)| (*on, *to) == (event, before.status));
    let said = before.error == outcome.error;
    if before.provision_job_id != job.id || (there && said) {
        return Ok(None);
    }
    let mut after = before.stepped(event)?;
    after.error.clone_from(&outcome.error);
    match event {
        E::Complete => after.completed(outcome),
        E::Revert => after.reverted(ran),
        E::Fail => (after.live_version, after.live_package) = (None, None),
        E::Remove => after.removed(outcome.gives_up_data),
        _ => after.restored(),
    }
    Ok(Some((action, after)))
}

impl Activation {
    fn completed(&mut self, outcome: &Outcome) {
        let took = (self.updated_at - self.requested_at).num_milliseconds().max(0);
        self.took_ms = Some(i32::try_from(took).unwrap_or(i32::MAX));
        (self.activated_at, self.deactivated_at) = (Some(self.updated_at), None);
        self.service_url.clone_from(&outcome.service_url);
        self.has_data |= self.has_service;
        self.live();
    }

    fn removed(&mut self, gives_up_data: bool) {
        self.deactivated_at = Some(self.updated_at);
        self.has_data &= !gives_up_data;
    }

    fn restored(&mut self) {
        self.deactivated_at = None;
        self.live();
    }

    /// It is the version before that runs.
    fn reverted(&mut self, version: Option<&Version>) {
        if let Some(version) = version {
            self.feature_version = version.clone();
        }
        if self.live_version.as_ref() == version {
            self.package = self.live_package.clone().unwrap_or_default();
        }
        self.live();
    }

    fn live(&mut self) {
        self.live_version = Some(self.feature_version.clone());
        self.live_package = Some(self.package.clone());
    }
}
