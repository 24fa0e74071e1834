//! Providers create, find and remove infrastructure behind one trait.
//!
//! A caller may crash after a provider's effect and before it has recorded it. Therefore every operation is idempotent:
//! any process may repeat it at any time, also after a crash during the operation, and the result is that of a single
//! call. This allows a job to repeat a step without knowing how far the last attempt came.

mod bundle;
mod clock;
mod error_context;
pub mod local;
mod names;
mod owner;
mod pacing;
pub mod starter;
mod target;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use bundle::{Binding, Bundle, MAX_BUNDLE_BYTES};
pub use clock::Clock;
pub use domain::{HostName, ResourceName, SecretName};
pub use error_context::ErrorContext;
pub use names::DnsTarget;
pub(crate) use names::{parse_host_name, parse_resource_name};
pub use owner::{DestroyOutcome, Owner};
pub use pacing::PacedProvider;
pub use target::{ResourceKind, Spec, Target};

/// Creates, removes and observes the targets of one provider.
///
/// Targets with the same [`Target::identity`] are the same object, even if their [`Spec`]s differ. Any number of tasks
/// and processes may call operations on the same identity concurrently; the provider serialises them. Every target has
/// an [`Owner`], which the provider stores atomically with the object. An operation never changes or removes an object
/// of another owner. A [`Target`] validates its name when it is created, so that no name can point outside the storage
/// of the provider.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Creates the target or brings it to the state of its [`Spec`], and returns its observed state.
    ///
    /// Idempotent: an existing object of the same owner keeps its `provider_id` and its data, and only differences to
    /// the spec are changed. A Git repository with a commit is not changed. An object without an owner, whose name
    /// belongs to no platform, gets the owner of the target.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OwnedByAnother`], in which case nothing is changed, or any other [`ProviderError`]. The target may
    /// exist after a failure: call again, or `destroy` it.
    async fn ensure(&self, target: &Target) -> Result<ObservedState, ProviderError>;

    /// Removes the target and its data if it belongs to the owner of the target; ignores the spec. Returns `Ok` as well
    /// if the target does not exist, or has another owner or none: see [`DestroyOutcome`].
    ///
    /// Removes the secrets of a worker with it. A target that is ensured again afterwards is a new object with a new
    /// `provider_id`.
    ///
    /// # Errors
    ///
    /// Any [`ProviderError`]. The target may be gone after a failure: call again.
    async fn destroy(&self, target: &Target) -> Result<DestroyOutcome, ProviderError>;

    /// Returns the state and the owner of the target, or `None` if it does not exist. Ignores the spec and the owner in
    /// `target`. Has no side effects.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if the state cannot be determined. A missing target is not an error.
    async fn observe(&self, target: &Target) -> Result<Option<ObservedState>, ProviderError>;

    /// Checks if the custom host name that `owner` claims points to `target`. Has no side effects.
    ///
    /// The default implementation checks the DNS records of the provider itself.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if the check failed. A host name that points elsewhere is [`DomainCheck::NotYet`].
    async fn verify_domain(
        &self,
        owner: &Owner,
        hostname: &HostName,
        target: &HostName,
    ) -> Result<DomainCheck, ProviderError> {
        let record = Target::plain(owner, ResourceKind::DnsRecord, hostname.as_str())?;
        let Some(observed) = self.observe(&record).await? else {
            return Ok(DomainCheck::NotYet(format!("{hostname} has no DNS record")));
        };
        let points_to = observed.details.get("target").and_then(serde_json::Value::as_str);
        Ok(match points_to {
            Some(found) if found == target.as_str() => DomainCheck::Verified,
            Some(found) => DomainCheck::NotYet(format!("{hostname} points to {found}, not to {target}")),
            None => DomainCheck::NotYet(format!("the DNS record of {hostname} has no target")),
        })
    }
}

/// Result of the check of a custom host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainCheck {
    /// The host name points to its target.
    Verified,
    /// The host name does not point to its target, for this reason.
    NotYet(String),
}

/// State of a target at the provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedState {
    /// The provider's id of the object, stable until it is destroyed.
    pub provider_id: String,
    /// Address of the object, if it has one.
    pub url: Option<String>,
    /// Further state by kind, such as `deployment` of a worker or `head` of a Git repository. Never a secret value.
    pub details: serde_json::Value,
    /// Owner of the object; `None` if the provider knows none.
    #[serde(default)]
    pub owner: Option<Owner>,
}

impl ObservedState {
    /// Creates the state of an object without an address.
    fn new(provider_id: impl Into<String>, details: serde_json::Value) -> Self {
        Self { provider_id: provider_id.into(), url: None, details, owner: None }
    }
}

/// Error of a provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// Classification for the caller.
    pub kind: ErrorKind,
    /// Message for operators. Never contains a secret value.
    pub message: String,
}

/// Classification of a [`ProviderError`] by the possible reaction of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed later.
    Retryable,
    /// The same call fails until the request or the provider changes.
    Permanent,
    /// The target belongs to another owner. The same call fails until that owner releases it.
    OwnedByAnother,
    /// The provider rejects calls until the time is over.
    RateLimited {
        /// Time to wait before the next call, counted from the response.
        retry_after: Duration,
    },
}

impl ProviderError {
    /// Creates an error of kind [`ErrorKind::Retryable`].
    pub fn retryable(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Retryable, message: message.into() }
    }

    /// Creates an error of kind [`ErrorKind::Permanent`].
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Permanent, message: message.into() }
    }

    /// Creates an error of kind [`ErrorKind::OwnedByAnother`].
    pub fn owned_by_another(object: impl std::fmt::Display) -> Self {
        let message = format!("{object} belongs to another platform");
        Self { kind: ErrorKind::OwnedByAnother, message }
    }

    /// Creates an error of kind [`ErrorKind::RateLimited`].
    pub fn rate_limited(retry_after: Duration, message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::RateLimited { retry_after }, message: message.into() }
    }

    /// Returns true if the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        !matches!(self.kind, ErrorKind::Permanent | ErrorKind::OwnedByAnother)
    }

    /// Prefixes the message with the failed operation.
    #[must_use]
    pub fn context(self, operation: impl std::fmt::Display) -> Self {
        Self { kind: self.kind, message: format!("{operation}: {}", self.message) }
    }
}

/// Runs `work` on a thread that may block. It runs to completion even if the returned future is dropped.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(ProviderError::retryable(format!("the operation was aborted: {e}"))),
    }
}
