//! Fairness: how often a caller and an address may ask.
//!
//! All of it is counted in this process alone: two gateways let through twice as much.

mod address;
mod bucket;
mod settings;

use std::net::IpAddr;

use anyhow::{Context, Result};
use domain::{Error, Kind};

pub(crate) use address::{Origin, Proxies};
pub(crate) use bucket::Taken;
pub use settings::LimitSettings;

use self::{address::counted_as, bucket::Buckets};

/// How many callers and addresses are known at a time.
const MOST_CALLERS: usize = 20_000;
const MOST_ADDRESSES: usize = 50_000;
const MINUTE: f64 = 60.0;

/// The buckets of everyone.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) settings: LimitSettings,
    pub(crate) proxies: Proxies,
    callers: Option<Buckets<String>>,
    addresses: Option<Buckets<IpAddr>>,
    failures: Option<Buckets<IpAddr>>,
}

impl Limits {
    /// # Errors
    /// When a network cannot be read.
    pub(crate) fn new(settings: &LimitSettings) -> Result<Self> {
        let LimitSettings { per_caller_per_second, per_caller_burst, .. } = *settings;
        let LimitSettings { per_address_per_second, per_address_burst, failures_per_minute, .. } = *settings;
        let proxies = Proxies::new(&settings.trusted_proxies.0).context("service.limits.trusted_proxies")?;
        Ok(Self {
            callers: Buckets::new("caller", per_caller_per_second.into(), per_caller_burst, MOST_CALLERS),
            addresses: Buckets::new(
                "address",
                per_address_per_second.into(),
                per_address_burst,
                MOST_ADDRESSES,
            ),
            failures: Buckets::new(
                "failures",
                f64::from(failures_per_minute) / MINUTE,
                failures_per_minute,
                MOST_ADDRESSES,
            ),
            proxies,
            settings: settings.clone(),
        })
    }

    /// A request from an address. That nothing is known of it is told by none.
    pub(crate) fn of_address(&self, origin: Origin) -> Option<Taken> {
        let (buckets, ip) = (self.addresses.as_ref()?, origin.ip?);
        Some(buckets.take(&counted_as(ip)))
    }

    /// Whether an address may try another credential.
    pub(crate) fn may_try(&self, origin: Origin) -> Option<Taken> {
        let (buckets, ip) = (self.failures.as_ref()?, origin.ip?);
        Some(buckets.look(&counted_as(ip)))
    }

    /// A credential from an address was refused.
    pub(crate) fn failed(&self, origin: Origin) {
        if let (Some(buckets), Some(ip)) = (&self.failures, origin.ip) {
            buckets.take(&counted_as(ip));
        }
    }

    /// A request of a caller.
    pub(crate) fn of_caller(&self, id: &str) -> Option<Taken> {
        Some(self.callers.as_ref()?.take(&id.to_owned()))
    }
}

/// Refuses what found no token.
///
/// # Errors
/// [`Kind::RateLimited`], with when to come back.
pub(crate) fn pass(taken: Option<Taken>, why: &'static str) -> domain::Result<()> {
    match taken.and_then(|taken| taken.wait) {
        None => Ok(()),
        Some(wait) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Err(Error::new(Kind::RateLimited, why).with("retryAfterSeconds", seconds.max(1)))
        }
    }
}
