//! Steps of each job type.

mod deprovision;
pub(crate) mod feature;
pub(crate) mod job_locks;
pub(crate) mod platform;
mod registered;
mod service;
pub(crate) mod stack;

use domain::{Error, Kind, Result, job::JobType};
use identity::Ctx;
use saga::{Definition, Outline};
use serde_json::Value;

use crate::{
    App,
    jobs::model::Job,
    providers::{ErrorKind, ProviderError},
};

/// Returns the definitions of all job types, in every version that may still run.
pub(crate) fn definitions() -> Vec<Definition<App>> {
    vec![
        platform::definition(),
        deprovision::without_report(),
        deprovision::definition(),
        feature::activate::definition(),
        feature::deactivate::definition(),
        stack::activate::definition(),
        stack::deactivate::definition(),
    ]
}

/// Returns the outlines of all job types, in every version that may still run.
pub fn outlines() -> Vec<Outline> {
    definitions().iter().map(Definition::outline).collect()
}

/// Returns the newest definition of a job type.
pub(crate) fn definition(kind: JobType) -> Definition<App> {
    match kind {
        JobType::ProvisionPlatform => platform::definition(),
        JobType::DeprovisionPlatform => deprovision::definition(),
        JobType::ActivateFeature => feature::activate::definition(),
        JobType::DeactivateFeature => feature::deactivate::definition(),
        JobType::ActivateStack => stack::activate::definition(),
        JobType::DeactivateStack => stack::deactivate::definition(),
    }
}

/// Checks that the steps of a job type can parse an input.
///
/// # Errors
/// [`Kind::Validation`].
pub(crate) fn check_input(kind: JobType, input: &Value) -> Result<()> {
    match kind {
        JobType::ProvisionPlatform => check::from_value::<platform::Input>(input.clone()).map(drop),
        JobType::ActivateFeature => check::from_value::<feature::Activate>(input.clone()).map(drop),
        JobType::DeactivateFeature => check::from_value::<feature::Deactivate>(input.clone()).map(drop),
        JobType::ActivateStack => check::from_value::<stack::Activate>(input.clone()).map(drop),
        JobType::DeactivateStack => check::from_value::<stack::Deactivate>(input.clone()).map(drop),
        JobType::DeprovisionPlatform => Ok(()),
    }
}

/// Wakes the waiting jobs that a new job supersedes, so that they end at once.
///
/// # Errors
/// Those of the database.
pub(crate) async fn wake_superseded(app: &App, job: &Job) -> Result<()> {
    let lock = match job.r#type {
        JobType::ActivateFeature | JobType::DeactivateFeature => {
            feature::lock_request(&job.platform_id, &job.input)?
        }
        JobType::ActivateStack | JobType::DeactivateStack => {
            stack::lock_request(&job.platform_id, &job.input)?
        }
        JobType::ProvisionPlatform | JobType::DeprovisionPlatform => return Ok(()),
    };
    job_locks::wake_superseded(&app.db, &lock, job.id).await
}

/// Reports to the registry that an operator discarded a job, if an object in the registry waits for it.
///
/// # Errors
/// If the registry cannot be reached.
pub(crate) async fn report_abandoned(app: &App, ctx: &Ctx, job: &Job, reason: &str) -> Result<()> {
    match job.r#type {
        JobType::ActivateFeature | JobType::DeactivateFeature => {
            feature::report_abandoned(app, ctx, job, reason).await
        }
        JobType::ActivateStack => stack::report_abandoned(app, ctx, job, reason).await,
        JobType::DeactivateStack | JobType::ProvisionPlatform | JobType::DeprovisionPlatform => Ok(()),
    }
}

/// The undo of a step that cannot be undone, because it deleted its target.
fn irreversible() -> Result<()> {
    Ok(())
}

/// Returns the error of a job that a newer one supersedes.
fn superseded() -> Error {
    Error::new(Kind::InvalidTransition, "A newer request superseded this one.")
}

/// Converts the error of a provider to a domain error with the same message.
pub(crate) fn into_domain_error(error: ProviderError) -> Error {
    match error.kind {
        ErrorKind::Retryable => Error::new(Kind::Upstream, error.message),
        ErrorKind::Permanent => Error::new(Kind::Unprocessable, error.message),
        ErrorKind::OwnedByAnother => Error::new(Kind::AlreadyExists, error.message),
        ErrorKind::RateLimited { retry_after } => Error::new(Kind::RateLimited, error.message)
            .with("retryAfterSeconds", retry_after.as_secs().max(1)),
    }
}
