//! What each type of job consists of.

mod deprovision;
pub(crate) mod feature;
mod made;
pub(crate) mod platform;
mod service;
pub(crate) mod stack;
pub(crate) mod turn;

use domain::{Error, Kind, Result, job::JobType};
use identity::Ctx;
use saga::{Definition, Outline};
use serde_json::Value;

use crate::{
    App,
    jobs::model::Job,
    providers::{ErrorKind, ProviderError},
};

/// The definitions of all types of jobs, of every version that may still run.
pub(crate) fn definitions() -> Vec<Definition<App>> {
    vec![
        platform::definition(),
        deprovision::before_reports(),
        deprovision::definition(),
        feature::activate::definition(),
        feature::deactivate::definition(),
        stack::activate::definition(),
        stack::deactivate::definition(),
    ]
}

/// The outlines of all types of jobs, of every version that may still run.
pub fn outlines() -> Vec<Outline> {
    definitions().iter().map(Definition::outline).collect()
}

/// The newest definition of a type of job.
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

/// Refuses an input that the type's steps could not read.
///
/// # Errors
/// [`Kind::Validation`].
pub(crate) fn check_input(kind: JobType, input: &Value) -> Result<()> {
    match kind {
        JobType::ProvisionPlatform => check::value::<platform::Input>(input.clone()).map(drop),
        JobType::ActivateFeature => check::value::<feature::Activate>(input.clone()).map(drop),
        JobType::DeactivateFeature => check::value::<feature::Deactivate>(input.clone()).map(drop),
        JobType::ActivateStack => check::value::<stack::Activate>(input.clone()).map(drop),
        JobType::DeactivateStack => check::value::<stack::Deactivate>(input.clone()).map(drop),
        JobType::DeprovisionPlatform => Ok(()),
    }
}

/// Has jobs look again that wait for their turn and are superseded by this new one.
///
/// # Errors
/// Those of the database.
pub(crate) async fn wake_superseded(app: &App, job: &Job) -> Result<()> {
    let subject = match job.r#type {
        JobType::ActivateFeature | JobType::DeactivateFeature => {
            feature::subject(&job.platform_id, &job.input)?
        }
        JobType::ActivateStack | JobType::DeactivateStack => stack::subject(&job.platform_id, &job.input)?,
        JobType::ProvisionPlatform | JobType::DeprovisionPlatform => return Ok(()),
    };
    turn::wake_superseded(&app.db, &subject, job.id).await
}

/// Tells the registry that nothing more will come of a job, where something of it waits for the job.
///
/// # Errors
/// When the registry cannot be told.
pub(crate) async fn give_up(app: &App, ctx: &Ctx, job: &Job, why: &str) -> Result<()> {
    match job.r#type {
        JobType::ActivateFeature | JobType::DeactivateFeature => feature::give_up(app, ctx, job, why).await,
        JobType::ActivateStack => stack::give_up(app, ctx, job, why).await,
        JobType::DeactivateStack | JobType::ProvisionPlatform | JobType::DeprovisionPlatform => Ok(()),
    }
}

/// Nothing that was taken down comes back.
fn no_way_back() -> Result<()> {
    Ok(())
}

/// What a job fails with that another has been asked for instead of.
fn superseded() -> Error {
    Error::new(Kind::InvalidTransition, "a newer request has taken the place of this one")
}

/// A provider's failure as ours, in the provider's own words.
pub(crate) fn fault(error: ProviderError) -> Error {
    match error.kind {
        ErrorKind::Retryable => Error::new(Kind::Upstream, error.message),
        ErrorKind::Permanent => Error::new(Kind::Unprocessable, error.message),
        ErrorKind::OwnedByAnother => Error::new(Kind::AlreadyExists, error.message),
        ErrorKind::RateLimited { retry_after } => Error::new(Kind::RateLimited, error.message)
            .with("retryAfterSeconds", retry_after.as_secs().max(1)),
    }
}
