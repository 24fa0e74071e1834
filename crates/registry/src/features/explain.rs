//! Why a feature is not active.

use domain::{
    Result,
    explain::{Explanation, Link},
    feature::FeatureStatus,
};
use identity::Ctx;
use runtime::clock::in_words as at;

use super::{model::Activation, ops::subject};
use crate::{App, explain};

/// Over the border to provisioning, whose job brings it to what is wanted.
pub(super) async fn of(app: &App, ctx: &Ctx, activation: Activation) -> Result<Explanation> {
    let status = activation.status;
    let waits = status.is_on_its_way() || status == FeatureStatus::Deactivating;
    let link = Link::new("feature", activation.id, status, activation.says());
    let ready = matches!(status, FeatureStatus::Active | FeatureStatus::Deactivated);
    let deeper = if waits {
        explain::job(app, ctx, &subject(&activation), activation.provision_job_id).await?
    } else {
        None
    };
    Ok(Explanation::of(ready, link).under(deeper))
}

impl Activation {
    /// How it stands, in one sentence.
    fn says(&self) -> String {
        let job = self.provision_job_id;
        match (self.status, &self.error) {
            (FeatureStatus::Active, None) => "it is active".to_owned(),
            (FeatureStatus::Active, Some(why)) => format!("it is active, but its last change failed: {why}"),
            (FeatureStatus::Failed, why) => format!("it failed: {}", why.as_deref().unwrap_or_default()),
            (FeatureStatus::Pending, _) => format!("it waits for job {job}, which has not begun"),
            (FeatureStatus::Provisioning, _) => format!("it waits for job {job}"),
            (FeatureStatus::Deactivating, _) => format!("it is being deactivated by job {job}"),
            (FeatureStatus::Deactivated, _) => {
                format!("it is deactivated since {}", at(self.deactivated_at.unwrap_or(self.updated_at)))
            }
        }
    }
}
