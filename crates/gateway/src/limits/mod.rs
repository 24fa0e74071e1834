//! Rate limits per caller and address, and limits per service.
//!
//! Each process counts for itself, so two gateways together allow twice as much.

mod address;
mod bucket;
mod credentials;
mod queue;
mod settings;
mod upstreams;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use actix_web::http::header::HeaderMap;
use anyhow::{Context, Result};
use domain::{Error, Kind};

pub(crate) use address::{Origin, Proxies};
pub(crate) use bucket::RateDecision;
pub(crate) use credentials::{Attempt, CredentialContext};
pub use settings::LimitSettings;

use self::{address::limit_key, bucket::Buckets, credentials::Credentials, upstreams::UpstreamLimits};

/// Maximum number of tracked callers and addresses.
const MAX_CALLERS: usize = 20_000;
const MAX_ADDRESSES: usize = 50_000;

/// Rejections per second that one caller or address gets without a delay.
const PROMPT_REJECTIONS: u32 = 20;
/// Delay of further rejections.
const REJECTION_DELAY: Duration = Duration::from_millis(500);

/// All limits.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) settings: LimitSettings,
    pub(crate) proxies: Proxies,
    callers: Option<Buckets<String>>,
    addresses: Option<Buckets<IpAddr>>,
    credentials: Option<Credentials>,
    pub(crate) upstreams: UpstreamLimits,
    /// The rejections without a delay, per caller and address.
    rejections: Option<Buckets<String>>,
}

impl Limits {
    /// Creates the limits.
    ///
    /// # Errors
    /// When a network of `trusted_proxies` is malformed.
    pub(crate) fn new(settings: &LimitSettings) -> Result<Self> {
        let LimitSettings { per_caller_per_second, per_caller_burst, .. } = *settings;
        let LimitSettings { per_address_per_second, per_address_burst, failures_per_minute, .. } = *settings;
        let proxies = Proxies::new(&settings.trusted_proxies.0).context("service.limits.trusted_proxies")?;
        Ok(Self {
            callers: Buckets::new("caller", per_caller_per_second.into(), per_caller_burst, MAX_CALLERS),
            addresses: Buckets::new(
                "address",
                per_address_per_second.into(),
                per_address_burst,
                MAX_ADDRESSES,
            ),
            credentials: Credentials::new(failures_per_minute),
            upstreams: UpstreamLimits::new(settings),
            rejections: Buckets::new("rejections", PROMPT_REJECTIONS.into(), PROMPT_REJECTIONS, MAX_CALLERS),
            proxies,
            settings: settings.clone(),
        })
    }

    /// Counts a request of an address. `None` means that no limit is configured or the address is unknown.
    pub(crate) fn take_for_address(&self, origin: Origin) -> Option<RateDecision> {
        let (buckets, ip) = (self.addresses.as_ref()?, origin.ip?);
        Some(buckets.take(&limit_key(ip), Instant::now()))
    }

    /// Waits until the credential of a request may be checked: see [`credentials`].
    ///
    /// # Errors
    /// [`Kind::RateLimited`] when the credential must not be checked.
    pub(crate) async fn attempt(
        &self,
        origin: Origin,
        headers: &HeaderMap,
        context: CredentialContext,
    ) -> domain::Result<Option<Attempt>> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        match credentials.attempt(origin, headers, context).await {
            Ok(attempt) => Ok(attempt),
            Err(budget) => Err(too_many_rejections(budget.wait)),
        }
    }

    /// Records the outcome of an attempt and returns the result for the client. Beyond the budget, a rejected
    /// credential yields [`Kind::RateLimited`].
    ///
    /// # Errors
    /// When the credential was rejected or could not be checked.
    pub(crate) fn finish_attempt<T>(
        &self,
        attempt: Option<Attempt>,
        found: domain::Result<T>,
    ) -> domain::Result<T> {
        let (Some(credentials), Some(attempt)) = (&self.credentials, attempt) else { return found };
        match &found {
            Ok(_) => credentials.accept(attempt),
            Err(error) if error.kind() == Kind::Unauthorized => {
                if let Some(wait) = credentials.reject(attempt).and_then(|budget| budget.wait) {
                    return Err(too_many_rejections(Some(wait)));
                }
            }
            // The credential could not be checked, so there is no result.
            Err(_) => credentials.refund(attempt),
        }
        found
    }

    /// Returns the delay for a rejection. Without a delay, a client that ignores rejections would use more processor
    /// time than one that is served.
    pub(crate) fn rejection_delay(&self, id: &str) -> Duration {
        let decision =
            self.rejections.as_ref().map(|rejections| rejections.take(&id.to_owned(), Instant::now()));
        decision.and_then(|decision| decision.wait).map_or(Duration::ZERO, |_| REJECTION_DELAY)
    }

    /// Counts a request of a caller. `None` means that no limit is configured.
    pub(crate) fn take_for_caller(&self, id: &str) -> Option<RateDecision> {
        Some(self.callers.as_ref()?.take(&id.to_owned(), Instant::now()))
    }
}

/// Rejects a request that got no token.
///
/// # Errors
/// [`Kind::RateLimited`] with `message` and the time after which to retry.
pub(crate) fn check(decision: Option<RateDecision>, message: &'static str) -> domain::Result<()> {
    match decision.and_then(|decision| decision.wait) {
        None => Ok(()),
        Some(wait) => Err(rate_limited(message, wait)),
    }
}

fn too_many_rejections(wait: Option<Duration>) -> Error {
    let message = "Your address has sent too many invalid credentials. Wait before you retry.";
    rate_limited(message, wait.unwrap_or_default())
}

fn rate_limited(message: &'static str, wait: Duration) -> Error {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Error::new(Kind::RateLimited, message).with("retryAfterSeconds", seconds.max(1))
}
