//! Credentials that are refused, and how they are held back without those that are good.
//!
//! Each address has a budget for credentials that are refused. Past it, a credential that was good before is checked as
//! always, and one that was just refused is refused again at once. Any other waits in a queue of its address until it
//! is checked. So a good one is served, a bad one costs a client's patience and nobody else's, and neither iam nor a
//! guesser gets more of them than the queue lets pass.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, time::sleep};

use super::{
    address::{Origin, counted_as},
    bucket::{Buckets, RateDecision},
    queue::Queues,
};

const MINUTE: f64 = 60.0;
const MOST_ADDRESSES: usize = 50_000;
const MOST_CREDENTIALS: usize = 50_000;
/// How long a credential that was good is known as such after its last use.
const GOOD_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long one that was refused is refused again without another check.
const BAD_FOR: Duration = Duration::from_secs(5);
/// Between two checks past the budget, of what a person may have chosen: only guesses find that.
const PACE_OF_GUESSABLE: Duration = Duration::from_millis(100);
/// The same of what nobody can guess, so that it is iam alone that is spared.
const PACE_OF_OTHERS: Duration = Duration::from_millis(20);
/// How long a client waits in a queue at most, on a connection that has shown a bad credential, and on another.
const MOST_WAIT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// How many wait at a time, of all addresses.
const MOST_WAITING: usize = 512;

/// SHA-256 of a credential.
type Credential = [u8; 32];

/// How a credential is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    /// Whether a person may have chosen it.
    pub(crate) is_guessable: bool,
    /// Whether its connection has shown a bad one before.
    pub(crate) after_a_bad_one: bool,
}

/// A credential that is being checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    ip: IpAddr,
    credential: Credential,
    /// Whether it holds a part of the budget, which it gives back if it is good.
    is_within_budget: bool,
}

/// What is known of credentials and of the addresses that show them.
#[derive(Debug)]
pub(super) struct Credentials {
    budget: Buckets<IpAddr>,
    guessable: Queues<IpAddr>,
    others: Queues<IpAddr>,
    waiting: Semaphore,
    /// By when they were good last, from wherever: who shows such a one does not guess.
    good: Cache<Credential, Instant>,
    bad: Cache<Credential, Instant>,
}

fn is_recent(cache: &Cache<Credential, Instant>, credential: &Credential, within: Duration) -> bool {
    cache.get(credential).is_some_and(|at| at.elapsed() < within)
}

impl Credentials {
    /// None if there is no limit.
    pub(super) fn new(failures_per_minute: u32) -> Option<Self> {
        let per_second = f64::from(failures_per_minute) / MINUTE;
        Some(Self {
            budget: Buckets::new("failures", per_second, failures_per_minute, MOST_ADDRESSES)?,
            guessable: Queues::new(PACE_OF_GUESSABLE, MOST_ADDRESSES),
            others: Queues::new(PACE_OF_OTHERS, MOST_ADDRESSES),
            waiting: Semaphore::new(MOST_WAITING),
            good: Cache::new(MOST_CREDENTIALS),
            bad: Cache::new(MOST_CREDENTIALS),
        })
    }

    /// Waits until the credential of a request may be checked. None of a request that shows none, or comes from nowhere.
    ///
    /// # Errors
    /// How much of the budget there is, when it is not to be checked.
    pub(super) async fn attempt(
        &self,
        origin: Origin,
        headers: &HeaderMap,
        shown: Shown,
    ) -> Result<Option<Attempt>, RateDecision> {
        let (Some(ip), Some(value)) = (origin.ip.map(counted_as), headers.get(AUTHORIZATION)) else {
            return Ok(None);
        };
        let credential = Sha256::digest(value.as_bytes()).into();
        let attempt = |is_within_budget| Ok(Some(Attempt { ip, credential, is_within_budget }));
        if is_recent(&self.good, &credential, GOOD_FOR) {
            return attempt(false);
        }
        let left = self.budget.take(&ip, Instant::now());
        if left.wait.is_none() {
            return attempt(true);
        }
        if is_recent(&self.bad, &credential, BAD_FOR) {
            return Err(left);
        }
        let queues = if shown.is_guessable { &self.guessable } else { &self.others };
        let [impatient, patient] = MOST_WAIT;
        let most = if shown.after_a_bad_one { impatient } else { patient };
        let _place = self.waiting.try_acquire().map_err(|_none| left)?;
        sleep(queues.join(&ip, most, Instant::now()).ok_or(left)?).await;
        attempt(false)
    }

    /// The credential was good.
    pub(super) fn was_good(&self, attempt: Attempt) {
        self.give_back(attempt);
        if !is_recent(&self.good, &attempt.credential, GOOD_FOR / 2) {
            self.good.insert(attempt.credential, Instant::now());
        }
    }

    /// The credential was refused. What is left of the budget.
    pub(super) fn was_bad(&self, attempt: Attempt) -> Option<RateDecision> {
        let was_known = self.good.remove(&attempt.credential).is_some();
        self.bad.insert(attempt.credential, Instant::now());
        match (attempt.is_within_budget, was_known) {
            (true, _) => None,
            (false, true) => Some(self.budget.take(&attempt.ip, Instant::now())),
            (false, false) => Some(self.budget.look(&attempt.ip, Instant::now())),
        }
    }

    /// What became of the credential says nothing of it.
    pub(super) fn give_back(&self, attempt: Attempt) {
        if attempt.is_within_budget {
            self.budget.give_back(&attempt.ip);
        }
    }
}
