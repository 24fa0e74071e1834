//! Providers: what makes, finds and removes real infrastructure, behind one trait.
//!
//! A caller may die between a provider's effect and its own record of it. So every operation may be called again at any
//! time, also after a crash in the middle of it, by the same process or another, and ends in the same state as one call
//! would have. This is what lets a step of a job be repeated without asking what its last attempt got done.

mod bundle;
mod clock;
mod fault;
pub mod local;
mod names;
mod owner;
mod paced;
pub mod starter;
mod target;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use bundle::{Binding, Bundle, MAX_BUNDLE_BYTES};
pub use clock::Clock;
pub use domain::{HostName, ResourceName, SecretName};
pub use fault::ErrorContext;
pub use names::DnsTarget;
pub(crate) use names::{parse_host_name, parse_resource_name};
pub use owner::{DestroyOutcome, Owner};
pub use paced::PacedProvider;
pub use target::{ResourceKind, Spec, Target};

/// Makes, removes and looks at the targets of one provider.
///
/// Targets with the same [`Target::identity`] are the same thing, however their [`Spec`]s differ. Calls for one identity
/// may overlap, from any number of tasks and processes; a provider sees to it that they end as if made one by one.
/// Every target has an [`Owner`], which a provider keeps with what it makes, and from the same moment on. What belongs to
/// another owner is never changed and never removed.
/// A name inside a [`Target`] has been checked when it was made, so that no name can lead outside the place a provider
/// keeps its things in.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Brings the target to the state its [`Spec`] asks for, and says what is there now.
    ///
    /// Idempotent: what exists already of the same owner keeps its `provider_id` and its data; only what differs from the
    /// spec is changed. A Git repository that has a commit is left as it is. An object that has no owner, and by its name
    /// is nobody's, gets the owner of the target.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OwnedByAnother`], and nothing is changed. Any other [`ProviderError`] in the provider's own words. The target may exist after a failure: call again, or `destroy`.
    async fn ensure(&self, target: &Target) -> Result<ObservedState, ProviderError>;

    /// Removes the target and the data in it, if it belongs to the owner of the target; the spec is not looked at. Also
    /// `Ok` if there is nothing to remove, or it is another's, or nothing says whose it is: see [`DestroyOutcome`].
    ///
    /// A worker's secrets go with it. A target ensured again afterwards is a new thing with a new `provider_id`.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] in the provider's own words. The target may be gone after a failure: call again.
    async fn destroy(&self, target: &Target) -> Result<DestroyOutcome, ProviderError>;

    /// Says what is there and whose it is, or `None`; spec and owner of the target are not looked at. Has no effect on any target.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if it could not be found out; a target that does not exist is not an error.
    async fn observe(&self, target: &Target) -> Result<Option<ObservedState>, ProviderError>;

    /// Finds out whether the host name of a customer, which `owner` claims, leads to `target`. Has no effect on anything.
    ///
    /// A provider that is asked no further finds it out from the DNS records that it has itself.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if it could not be found out; that it does not lead there is [`DomainCheck::NotYet`].
    async fn verify_domain(
        &self,
        owner: &Owner,
        hostname: &HostName,
        target: &HostName,
    ) -> Result<DomainCheck, ProviderError> {
        let record = Target::plain(owner, ResourceKind::DnsRecord, hostname.as_str())?;
        let Some(observed) = self.observe(&record).await? else {
            return Ok(DomainCheck::NotYet(format!("{hostname} leads nowhere")));
        };
        let leads_to = observed.details.get("target").and_then(serde_json::Value::as_str);
        Ok(match leads_to {
            Some(found) if found == target.as_str() => DomainCheck::Verified,
            Some(found) => DomainCheck::NotYet(format!("{hostname} leads to {found}, not to {target}")),
            None => DomainCheck::NotYet(format!("{hostname} does not say where it leads")),
        })
    }
}

/// Whether a customer's own host name leads where it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainCheck {
    /// It does.
    Verified,
    /// It does not, for this reason.
    NotYet(String),
}

/// What a provider has under the identity of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedState {
    /// The provider's own id of the thing: the same at every call, until it is destroyed.
    pub provider_id: String,
    /// Where the thing itself can be reached, if it has an address of its own.
    pub url: Option<String>,
    /// What else is worth keeping, by kind: `deployment` of a worker, `head` of a Git repository. Never a secret value.
    pub details: serde_json::Value,
    /// Whose it is; `None` if nobody made it that a provider knows of.
    #[serde(default)]
    pub owner: Option<Owner>,
}

impl ObservedState {
    /// A thing without an address of its own.
    fn new(provider_id: impl Into<String>, details: serde_json::Value) -> Self {
        Self { provider_id: provider_id.into(), url: None, details, owner: None }
    }
}

/// Why a provider could not do what it was asked, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// The provider's words, for operators. Never holds a secret value.
    pub message: String,
}

/// What a caller can do about a [`ProviderError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed later.
    Retryable,
    /// The same call fails again until somebody changes something.
    Permanent,
    /// The target belongs to another owner. The same call fails until that owner gives it up.
    OwnedByAnother,
    /// The provider asks to be left alone for this long.
    RateLimited {
        /// Time to wait before the next call, counted from the answer.
        retry_after: Duration,
    },
}

impl ProviderError {
    /// The same call may succeed later.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Retryable, message: message.into() }
    }

    /// The same call fails again until somebody changes something.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Permanent, message: message.into() }
    }

    /// The target belongs to another owner.
    pub fn owned_by_another(what: impl std::fmt::Display) -> Self {
        let message = format!("{what} belongs to another platform");
        Self { kind: ErrorKind::OwnedByAnother, message }
    }

    /// The provider asks to be left alone for `retry_after`.
    pub fn rate_limited(retry_after: Duration, message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::RateLimited { retry_after }, message: message.into() }
    }

    /// Whether calling again without a change can help.
    pub fn is_transient(&self) -> bool {
        !matches!(self.kind, ErrorKind::Permanent | ErrorKind::OwnedByAnother)
    }

    /// Puts what was being done before the provider's words.
    #[must_use]
    pub fn context(self, action: impl std::fmt::Display) -> Self {
        Self { kind: self.kind, message: format!("{action}: {}", self.message) }
    }
}

/// Runs `work` on a thread that may block. It runs to its end also when nobody waits for it any more.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(ProviderError::retryable(format!("the work was cut off: {e}"))),
    }
}
