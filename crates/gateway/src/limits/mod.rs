//! Fairness: how often a caller and an address may ask.
//!
//! All of it is counted in this process alone: two gateways let through twice as much.

mod address;
mod bucket;
mod settings;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use anyhow::{Context, Result};
use domain::{Error, Kind};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

pub(crate) use address::{Origin, Proxies};
pub(crate) use bucket::Taken;
pub use settings::LimitSettings;

use self::{address::counted_as, bucket::Buckets};

/// How many callers and addresses are known at a time.
const MOST_CALLERS: usize = 20_000;
const MOST_ADDRESSES: usize = 50_000;
const MINUTE: f64 = 60.0;
/// How long a credential that was good is known as such. It is checked each time all the same.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// The buckets of everyone.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) settings: LimitSettings,
    pub(crate) proxies: Proxies,
    callers: Option<Buckets<String>>,
    addresses: Option<Buckets<IpAddr>>,
    failures: Option<Buckets<IpAddr>>,
    /// Credentials that were good, by where they came from: they are not held back by the guesses of their neighbours
    /// behind one address. From elsewhere each is a guess like any other.
    good: Cache<(IpAddr, Credential), Instant>,
}

/// SHA-256 of a credential.
type Credential = [u8; 32];

/// What is known of a credential before it is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt(Option<(IpAddr, Credential)>);

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
            good: Cache::new(MOST_CALLERS),
            proxies,
            settings: settings.clone(),
        })
    }

    /// A request from an address. That nothing is known of it is told by none.
    pub(crate) fn of_address(&self, origin: Origin) -> Option<Taken> {
        let (buckets, ip) = (self.addresses.as_ref()?, origin.ip?);
        Some(buckets.take(&counted_as(ip)))
    }

    /// An attempt to get in. Who shows nothing guesses nothing.
    pub(crate) fn attempt(&self, origin: Origin, headers: &HeaderMap) -> Attempt {
        let shown = headers.get(AUTHORIZATION).map(|value| Sha256::digest(value.as_bytes()).into());
        Attempt(self.failures.as_ref().and(origin.ip.map(counted_as)).zip(shown))
    }

    /// Whether its credential may be looked at: too many others from there may have been refused.
    pub(crate) fn may_try(&self, attempt: Attempt) -> Option<Taken> {
        let (ip, credential) = attempt.0?;
        let known = self.good.get(&(ip, credential));
        if known.is_some_and(|since| since.elapsed() < GOOD_FOR) {
            return None;
        }
        Some(self.failures.as_ref()?.look(&ip))
    }

    /// What became of an attempt.
    pub(crate) fn tried(&self, attempt: Attempt, is_good: bool) {
        let Some((ip, credential)) = attempt.0 else { return };
        let key = (ip, credential);
        if !is_good {
            self.good.remove(&key);
            if let Some(failures) = &self.failures {
                failures.take(&ip);
            }
        } else if self.good.get(&key).is_none_or(|since| since.elapsed() > GOOD_FOR / 2) {
            self.good.insert(key, Instant::now());
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
