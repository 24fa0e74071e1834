//! Fairness: how often a caller and an address may ask.
//!
//! All of it is counted in this process alone: two gateways let through twice as much.

mod address;
mod bucket;
mod credentials;
mod queue;
mod settings;
mod turns;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use actix_web::http::header::HeaderMap;
use anyhow::{Context, Result};
use domain::{Error, Kind};

pub(crate) use address::{Origin, Proxies};
pub(crate) use bucket::RateDecision;
pub(crate) use credentials::{Attempt, Shown};
pub use settings::LimitSettings;

use self::{address::counted_as, bucket::Buckets, credentials::Credentials, turns::Turns};

/// How many callers and addresses are known at a time.
const MOST_CALLERS: usize = 20_000;
const MOST_ADDRESSES: usize = 50_000;

/// Refusals per second of one caller or address that are answered at once.
const PROMPT_REFUSALS: u32 = 20;
/// How long those beyond wait for their answer.
const LATE_REFUSAL: Duration = Duration::from_millis(500);

/// The buckets of everyone.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) settings: LimitSettings,
    pub(crate) proxies: Proxies,
    callers: Option<Buckets<String>>,
    addresses: Option<Buckets<IpAddr>>,
    credentials: Option<Credentials>,
    pub(crate) turns: Turns,
    /// Refusals that are answered at once, of each caller and address.
    refusals: Option<Buckets<String>>,
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
            credentials: Credentials::new(failures_per_minute),
            turns: Turns::new(settings),
            refusals: Buckets::new("refusals", PROMPT_REFUSALS.into(), PROMPT_REFUSALS, MOST_CALLERS),
            proxies,
            settings: settings.clone(),
        })
    }

    /// A request from an address. That nothing is known of it is told by none.
    pub(crate) fn of_address(&self, origin: Origin) -> Option<RateDecision> {
        let (buckets, ip) = (self.addresses.as_ref()?, origin.ip?);
        Some(buckets.take(&counted_as(ip), Instant::now()))
    }

    /// Waits until the credential of a request may be checked: see [`credentials`].
    ///
    /// # Errors
    /// [`Kind::RateLimited`] when it is not to be checked.
    pub(crate) async fn attempt(
        &self,
        origin: Origin,
        headers: &HeaderMap,
        shown: Shown,
    ) -> domain::Result<Option<Attempt>> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        match credentials.attempt(origin, headers, shown).await {
            Ok(attempt) => Ok(attempt),
            Err(left) => Err(refused_too_often(left.wait)),
        }
    }

    /// What became of an attempt, as the client is told it: past the budget, that there were too many.
    ///
    /// # Errors
    /// That it was refused, or that it could not be found out.
    pub(crate) fn tried<T>(&self, attempt: Option<Attempt>, found: domain::Result<T>) -> domain::Result<T> {
        let (Some(credentials), Some(attempt)) = (&self.credentials, attempt) else { return found };
        match &found {
            Ok(_) => credentials.was_good(attempt),
            Err(error) if error.kind() == Kind::Unauthorized => {
                if let Some(wait) = credentials.was_bad(attempt).and_then(|left| left.wait) {
                    return Err(refused_too_often(Some(wait)));
                }
            }
            // That it cannot be found out now says nothing of it.
            Err(_) => credentials.give_back(attempt),
        }
        found
    }

    /// How long the refusal of a request waits, after those that came before: a client that goes on in spite of
    /// refusals would else use more of the processor than one that is served.
    pub(crate) fn refusal_delay(&self, id: &str) -> Duration {
        let taken = self.refusals.as_ref().map(|refusals| refusals.take(&id.to_owned(), Instant::now()));
        taken.and_then(|taken| taken.wait).map_or(Duration::ZERO, |_| LATE_REFUSAL)
    }

    /// A request of a caller.
    pub(crate) fn of_caller(&self, id: &str) -> Option<RateDecision> {
        Some(self.callers.as_ref()?.take(&id.to_owned(), Instant::now()))
    }
}

/// Refuses what found no token.
///
/// # Errors
/// [`Kind::RateLimited`], with when to come back.
pub(crate) fn pass(taken: Option<RateDecision>, why: &'static str) -> domain::Result<()> {
    match taken.and_then(|taken| taken.wait) {
        None => Ok(()),
        Some(wait) => Err(too_many(why, wait)),
    }
}

fn refused_too_often(wait: Option<Duration>) -> Error {
    too_many("Too many credentials from your address were refused", wait.unwrap_or_default())
}

fn too_many(why: &'static str, wait: Duration) -> Error {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Error::new(Kind::RateLimited, why).with("retryAfterSeconds", seconds.max(1))
}
