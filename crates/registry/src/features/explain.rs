//! Explains why a feature is not active.

use domain::{
    Result,
    deployment::FeatureStatus,
    explain::{Explanation, Link},
};
use identity::Ctx;
use runtime::clock::rfc3339_seconds as at;

use super::{model::ActivationRow, ops::subject};
use crate::{App, explain};

/// Explains an activation. Asks provisioning about the job that changes it.
pub(super) async fn explain_feature(app: &App, ctx: &Ctx, activation: ActivationRow) -> Result<Explanation> {
    let status = activation.status;
    let link = Link::new("feature", activation.id, status, sentence(&activation));
    let ready = matches!(status, FeatureStatus::Active | FeatureStatus::Deactivated);
    let cause = if status.is_changing() {
        explain::explain_job(app, ctx, &subject(&activation), activation.provision_job_id).await?
    } else {
        None
    };
    Ok(Explanation::new(ready, link).caused_by(cause))
}

/// Returns the status as a sentence.
fn sentence(row: &ActivationRow) -> String {
    let job = row.provision_job_id;
    match (row.status, &row.error) {
        (FeatureStatus::Active, None) => "it is active".to_owned(),
        (FeatureStatus::Active, Some(reason)) => {
            format!("it is active, but its last change failed: {reason}")
        }
        (FeatureStatus::Failed, reason) => format!("it failed: {}", reason.as_deref().unwrap_or_default()),
        (FeatureStatus::Pending, _) => format!("it waits for job {job}, which has not started"),
        (FeatureStatus::Provisioning, _) => format!("it waits for job {job}"),
        (FeatureStatus::Deactivating, _) => format!("it is being deactivated by job {job}"),
        (FeatureStatus::Deactivated, _) => {
            format!("it was deactivated at {}", at(row.deactivated_at.unwrap_or(row.updated_at)))
        }
    }
}
