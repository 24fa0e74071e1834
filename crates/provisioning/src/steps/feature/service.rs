//! Service of the feature that a job changes.

use std::ops::Deref;

use domain::Result;
use saga::StepCx;

use super::{BEGIN, JobInput, Plan, platform};
use crate::{
    App,
    steps::{
        job_locks, registered,
        service::{Service as PlatformService, StackContext},
    },
};

/// Input, plan and context of a feature job.
pub(super) struct Job {
    input: JobInput,
    context: StackContext,
    pub(super) plan: Plan,
}

/// Service that a job changes.
pub(super) struct Service<'a> {
    base: PlatformService<'a>,
    job: &'a Job,
    pub(super) plan: &'a Plan,
}

impl<'a> Deref for Service<'a> {
    type Target = PlatformService<'a>;

    fn deref(&self) -> &PlatformService<'a> {
        &self.base
    }
}

impl Job {
    /// Returns the job, or `None` if the feature has no service.
    pub(super) fn of(cx: &StepCx) -> Result<Option<Self>> {
        let (input, plan): (JobInput, _) = (cx.input()?, cx.output(BEGIN)?);
        let context = StackContext {
            platform: platform(cx)?,
            stack: plan.stack.clone(),
            owner: plan.owner.clone(),
            environment: input.environment,
            shared: plan.shared.clone(),
        };
        Ok(Some(Self { input, context, plan }).filter(|job| job.plan.has_service))
    }

    /// Returns the job if it may be undone. Returns `None` if another job has changed the service since.
    pub(super) async fn to_undo(app: &App, cx: &StepCx) -> Result<Option<Self>> {
        match Self::of(cx)? {
            Some(job) if job_locks::is_holder(app, cx, &job.input.lock_key(cx)).await? => Ok(Some(job)),
            _ => Ok(None),
        }
    }

    pub(super) fn service<'a>(&'a self, app: &'a App, cx: &'a StepCx) -> Service<'a> {
        let base = PlatformService { app, cx, context: &self.context, feature: &self.input.feature_id };
        Service { base, job: self, plan: &self.plan }
    }
}

impl Service<'_> {
    /// Returns true if the job deletes data that belongs to no other entity.
    pub(super) fn deletes_data(&self) -> bool {
        self.job.input.delete_data && !self.plan.shares_data
    }

    /// Removes all resources that hold data of the service, regardless of who registered them.
    pub(super) async fn destroy_data(&self) -> Result<registered::Removals> {
        self.destroy_database().await?;
        let mut removed = registered::Removals::default();
        let (app, cx, context) = (self.app, self.cx, self.context);
        for resource in registered::list_registered(app, cx, &context.platform).await?.resources {
            let of_service = resource.service_name == self.feature.as_str()
                && resource.stack_id == context.stack.as_str()
                && registered::environment_of(&resource)? == context.environment;
            if of_service && !registered::type_of(&resource)?.runs_code() {
                registered::remove(app, cx, &context.platform, resource, &mut removed).await?;
            }
        }
        Ok(removed)
    }
}
