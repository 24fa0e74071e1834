//! What each type of job consists of.

mod deprovision;
pub(crate) mod feature;
mod made;
pub(crate) mod platform;

use domain::{Error, Kind, Result, job::JobType};
use saga::Definition;
use serde_json::Value;

use crate::{
    App,
    providers::{ErrorKind, ProviderError},
};

/// The definitions of all types of jobs, of every version that may still run.
pub(crate) fn definitions() -> Vec<Definition<App>> {
    vec![
        platform::definition(),
        deprovision::definition(),
        feature::activate::definition(),
        feature::deactivate::definition(),
    ]
}

/// The newest definition of a type of job.
///
/// # Errors
/// [`Kind::Unprocessable`] for a type that cannot be run.
pub(crate) fn definition(kind: JobType) -> Result<Definition<App>> {
    match kind {
        JobType::ProvisionPlatform => Ok(platform::definition()),
        JobType::DeprovisionPlatform => Ok(deprovision::definition()),
        JobType::ActivateFeature => Ok(feature::activate::definition()),
        JobType::DeactivateFeature => Ok(feature::deactivate::definition()),
        _ => Err(Error::new(Kind::Unprocessable, format!("jobs of type {kind} cannot be run yet"))),
    }
}

/// Refuses an input that the type's steps could not read.
///
/// # Errors
/// [`Kind::Validation`].
pub(crate) fn check_input(kind: JobType, input: &Value) -> Result<()> {
    match kind {
        JobType::ProvisionPlatform => kit::check::value::<platform::Input>(input.clone()).map(drop),
        JobType::ActivateFeature => kit::check::value::<feature::Activate>(input.clone()).map(drop),
        JobType::DeactivateFeature => kit::check::value::<feature::Deactivate>(input.clone()).map(drop),
        _ => Ok(()),
    }
}

/// A provider's failure as ours, in the provider's own words.
pub(crate) fn fault(error: ProviderError) -> Error {
    match error.kind {
        ErrorKind::Retryable => Error::new(Kind::Upstream, error.message),
        ErrorKind::Permanent => Error::new(Kind::Unprocessable, error.message),
        ErrorKind::RateLimited { retry_after } => Error::new(Kind::RateLimited, error.message)
            .with("retryAfterSeconds", retry_after.as_secs().max(1)),
    }
}
