//! Deletion of stacks. Each use case is one transaction per stack.

use database::{Record, Tx};
use domain::{
    Error, JobId, Kind, Result, StackId,
    deployment::{ActivationEvent, FeatureTransition, StackEvent},
    job::JobType,
};
use identity::{Done, PlatformScope, WriteCtx};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    model::StackRow,
    ops::{lock_for_update, reject_busy, with_command},
    store,
    template::check_dependents,
    view::StackView,
};
use crate::{
    App,
    features::{self, model::ManifestTag},
};

/// Response to a request that deletes a stack. The stack is gone; its infrastructure will be removed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Removed)]
pub(crate) struct StackDeletion {
    id: StackId,
    /// The job in provisioning.
    #[schema(value_type = Uuid)]
    provision_job_id: JobId,
}

/// Deletes a stack without dependents, and requests the removal of its infrastructure.
pub(crate) async fn remove(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: &StackId,
    delete_data: bool,
) -> Result<Done<StackDeletion>> {
    delete(app, ctx, scope, id, delete_data, true).await
}

/// Deletes all stacks of a platform and their data. Returns the jobs, including those of stacks deleted before.
pub(crate) async fn remove_all(app: &App, ctx: &WriteCtx, scope: &PlatformScope) -> Result<Vec<JobId>> {
    for id in app.db.read(ctx, async |c| store::ids(c, scope).await).await? {
        match delete(app, ctx, scope, &id, true, false).await {
            Err(error) if error.kind() == Kind::NotFound => {}
            done => drop(done?),
        }
    }
    app.db.read(ctx, async |c| store::deletion_jobs(c, scope).await).await
}

async fn delete(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    id: &StackId,
    delete_data: bool,
    others_stay: bool,
) -> Result<Done<StackDeletion>> {
    app.db
        .tx("stack.remove", ctx, async |tx| {
            let before = lock_for_update(tx, ctx, scope, id).await?;
            if others_stay {
                check_dependents(tx.conn().await?, scope, &before, None).await?;
            }
            let job = JobId::generate();
            let command = |record: Record, after: &StackRow| {
                with_command(record, after, JobType::DeactivateStack, json!({ "deleteData": delete_data }))
            };
            delete_row(tx, scope, before, job, command).await
        })
        .await
}

/// Marks a stack as deleted and ends the activations of its tenant. Rejected while other entities run its features.
pub(super) async fn delete_row(
    tx: &mut Tx,
    scope: &PlatformScope,
    before: StackRow,
    job: JobId,
    command: impl FnOnce(Record, &StackRow) -> Record,
) -> Result<StackDeletion> {
    let rows = features::store::lock_by_stack(tx.conn().await?, scope, &before.id).await?;
    let others =
        rows.iter().filter(|row| row.entity_id != before.tenant_id && row.status.has_resources()).count();
    if others > 0 {
        let message = "Other entities run features of the stack. Deactivate them first.";
        let dependents = json!({ "features": others });
        return Err(Error::new(Kind::HasDependents, message).with("dependents", dependents));
    }
    reject_busy(&rows)?;
    let after = before.apply(&StackEvent::Deleted { job })?;
    let mut record = Record::change("stack.deleted", super::AUDIT_TYPE, &after.id)
        .in_platform(scope.id())
        .before(&StackView::from(&before));
    let (mut ended, mut tags) = (Vec::new(), Vec::new());
    for row in rows.into_iter().filter(|row| row.entity_id == before.tenant_id) {
        let after = row.apply(&ActivationEvent::StackRemoved { job })?;
        if row.live_version.is_some() {
            tags.push(ManifestTag::for_activation(&row));
            record = features::ops::record_transition(record, FeatureTransition::Remove, Some(&row), &after);
        }
        ended.push(after);
    }
    let record = command(record, &after);
    let answer = StackDeletion { id: after.id.clone(), provision_job_id: job };
    let change = (store::update(after), features::store::upsert_all(ended), features::store::touch_all(tags));
    tx.finish(change, record, answer, |_| None).await
}
