//! Limits on rejected credentials that do not affect valid ones.
//!
//! Each address has a budget for rejected credentials. Beyond it, a credential that was valid before is still checked
//! at once, and one that was just rejected is rejected again without a check. Any other credential waits in a queue of
//! its address. Therefore valid credentials keep working, a wrong one delays only its own client, and the queue limits
//! both the load on iam and the rate of guesses.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, time::sleep};

use super::{
    address::{Origin, limit_key},
    bucket::{Buckets, RateDecision},
    queue::Queues,
};

const MINUTE: f64 = 60.0;
const MAX_ADDRESSES: usize = 50_000;
const MAX_CREDENTIALS: usize = 50_000;
/// Time after its last use for which a valid credential is remembered as valid.
const VALID_TTL: Duration = Duration::from_secs(24 * 3600);
/// Time for which a rejected credential is rejected again without a check.
const REJECTED_TTL: Duration = Duration::from_secs(5);
/// Interval between two checks beyond the budget, for credentials that a person may have chosen and others may guess.
const GUESSABLE_INTERVAL: Duration = Duration::from_millis(100);
/// The same interval for credentials that cannot be guessed. It only limits the load on iam.
const UNGUESSABLE_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum wait in a queue, on a connection that has sent a rejected credential, and on any other.
const MAX_WAIT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// Maximum number of waiting requests of all addresses.
const MAX_WAITING: usize = 512;

/// SHA-256 of a credential.
type Credential = [u8; 32];

/// The circumstances in which a client sends a credential.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CredentialContext {
    /// True if a person may have chosen the credential.
    pub(crate) is_guessable: bool,
    /// True if a credential was rejected on the same connection before.
    pub(crate) after_rejection: bool,
}

/// A credential that is being checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    ip: IpAddr,
    credential: Credential,
    /// True if the attempt has taken a token from the budget, which is refunded if the credential is valid.
    is_within_budget: bool,
}

/// The recent outcomes of credentials, and the budgets of the addresses that send them.
#[derive(Debug)]
pub(super) struct Credentials {
    budget: Buckets<IpAddr>,
    guessable: Queues<IpAddr>,
    unguessable: Queues<IpAddr>,
    waiting: Semaphore,
    /// The last valid use of each credential, from any address. A client with such a credential is not guessing.
    valid: Cache<Credential, Instant>,
    rejected: Cache<Credential, Instant>,
}

fn is_recent(cache: &Cache<Credential, Instant>, credential: &Credential, ttl: Duration) -> bool {
    cache.get(credential).is_some_and(|at| at.elapsed() < ttl)
}

impl Credentials {
    /// Returns `None` if there is no limit.
    pub(super) fn new(failures_per_minute: u32) -> Option<Self> {
        let per_second = f64::from(failures_per_minute) / MINUTE;
        Some(Self {
            budget: Buckets::new("failures", per_second, failures_per_minute, MAX_ADDRESSES)?,
            guessable: Queues::new(GUESSABLE_INTERVAL, MAX_ADDRESSES),
            unguessable: Queues::new(UNGUESSABLE_INTERVAL, MAX_ADDRESSES),
            waiting: Semaphore::new(MAX_WAITING),
            valid: Cache::new(MAX_CREDENTIALS),
            rejected: Cache::new(MAX_CREDENTIALS),
        })
    }

    /// Waits until the credential of a request may be checked. Returns `None` for a request without a credential or
    /// address.
    ///
    /// # Errors
    /// The state of the budget, when the credential must not be checked.
    pub(super) async fn attempt(
        &self,
        origin: Origin,
        headers: &HeaderMap,
        context: CredentialContext,
    ) -> Result<Option<Attempt>, RateDecision> {
        let (Some(ip), Some(value)) = (origin.ip.map(limit_key), headers.get(AUTHORIZATION)) else {
            return Ok(None);
        };
        let credential = Sha256::digest(value.as_bytes()).into();
        let attempt = |is_within_budget| Ok(Some(Attempt { ip, credential, is_within_budget }));
        if is_recent(&self.valid, &credential, VALID_TTL) {
            return attempt(false);
        }
        let budget = self.budget.take(&ip, Instant::now());
        if budget.wait.is_none() {
            return attempt(true);
        }
        if is_recent(&self.rejected, &credential, REJECTED_TTL) {
            return Err(budget);
        }
        let queues = if context.is_guessable { &self.guessable } else { &self.unguessable };
        let [short, long] = MAX_WAIT;
        let max_wait = if context.after_rejection { short } else { long };
        let _waiting = self.waiting.try_acquire().map_err(|_none| budget)?;
        sleep(queues.join(&ip, max_wait, Instant::now()).ok_or(budget)?).await;
        attempt(false)
    }

    /// Records that the credential was valid.
    pub(super) fn accept(&self, attempt: Attempt) {
        self.refund(attempt);
        if !is_recent(&self.valid, &attempt.credential, VALID_TTL / 2) {
            self.valid.insert(attempt.credential, Instant::now());
        }
    }

    /// Records that the credential was rejected. Returns the state of the budget if the attempt was beyond it.
    pub(super) fn reject(&self, attempt: Attempt) -> Option<RateDecision> {
        let was_valid = self.valid.remove(&attempt.credential).is_some();
        self.rejected.insert(attempt.credential, Instant::now());
        match (attempt.is_within_budget, was_valid) {
            (true, _) => None,
            (false, true) => Some(self.budget.take(&attempt.ip, Instant::now())),
            (false, false) => Some(self.budget.peek(&attempt.ip, Instant::now())),
        }
    }

    /// Returns the token of an attempt without a result.
    pub(super) fn refund(&self, attempt: Attempt) {
        if attempt.is_within_budget {
            self.budget.refund(&attempt.ip);
        }
    }
}
