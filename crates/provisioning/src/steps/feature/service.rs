//! The service of the feature that a job is for.

use std::ops::Deref;

use domain::Result;
use saga::StepCx;

use super::{Asked, BEGIN, Plan, platform};
use crate::{
    App,
    steps::{
        made,
        service::{Service as Any, Site},
        turn,
    },
};

/// What a job for a feature knows of its service.
pub(super) struct Job {
    asked: Asked,
    site: Site,
    pub(super) plan: Plan,
}

/// The service that a job works on.
pub(super) struct Service<'a> {
    any: Any<'a>,
    job: &'a Job,
    pub(super) plan: &'a Plan,
}

impl<'a> Deref for Service<'a> {
    type Target = Any<'a>;

    fn deref(&self) -> &Any<'a> {
        &self.any
    }
}

impl Job {
    /// None where the feature has no service.
    pub(super) fn of(cx: &StepCx) -> Result<Option<Self>> {
        let (asked, plan): (Asked, _) = (cx.input()?, cx.output(BEGIN)?);
        let site = Site {
            platform: platform(cx)?,
            stack: plan.stack.clone(),
            owner: plan.owner.clone(),
            environment: asked.environment,
            shared: plan.shared.clone(),
        };
        Ok(Some(Self { asked, site, plan }).filter(|job| job.plan.has_service))
    }

    /// The same to undo what was done to it; none where another job has worked on it since.
    pub(super) async fn to_undo(app: &App, cx: &StepCx) -> Result<Option<Self>> {
        match Self::of(cx)? {
            Some(job) if turn::is_ours(app, cx, &job.asked.thing(cx)).await? => Ok(Some(job)),
            _ => Ok(None),
        }
    }

    pub(super) fn service<'a>(&'a self, app: &'a App, cx: &'a StepCx) -> Service<'a> {
        let any = Any { app, cx, site: &self.site, feature: &self.asked.feature_id };
        Service { any, job: self, plan: &self.plan }
    }
}

impl Service<'_> {
    /// Whether the job is to delete data, and no one else's.
    pub(super) fn deletes_data(&self) -> bool {
        self.job.asked.delete_data && !self.plan.shares_data
    }

    /// Removes all that the service keeps data in, whoever registered it.
    pub(super) async fn destroy_data(&self) -> Result<made::Removed> {
        self.destroy_database().await?;
        let mut removed = made::Removed::default();
        let (app, cx, site) = (self.app, self.cx, self.site);
        for resource in made::platform_things(app, cx, &site.platform).await?.resources {
            let ours = resource.service_name == self.feature.as_str()
                && resource.stack_id == site.stack.as_str()
                && made::environment_of(&resource)? == site.environment;
            if ours && !made::type_of(&resource)?.runs_code() {
                made::remove(app, cx, &site.platform, resource, &mut removed).await?;
            }
        }
        Ok(removed)
    }
}
