//! Turns at the services: how many requests are under way to each, and whose is next.

use std::{collections::HashMap, time::Duration};

use domain::{Error, Result};
use identity::Caller;
use runtime::fair::{FairSemaphore, Permit};

use super::settings::LimitSettings;
use crate::{load::too_much, upstream::Upstream};

/// The requests that may be under way to each service.
#[derive(Debug)]
pub(crate) struct Turns {
    /// None if there is no limit.
    upstreams: Option<HashMap<Upstream, FairSemaphore>>,
    patience: Duration,
}

impl Turns {
    pub(super) fn new(settings: &LimitSettings) -> Self {
        let most = Some(settings.max_in_flight_per_upstream).filter(|most| *most > 0);
        let all =
            |most| Upstream::ALL.into_iter().map(|upstream| (upstream, FairSemaphore::new(most))).collect();
        Self { upstreams: most.map(all), patience: settings.queue_timeout }
    }

    /// Waits for a caller's turn at a service, with a request that counts as so many.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when it does not come in time.
    pub(crate) async fn at(
        &self,
        upstream: Upstream,
        caller: &Caller,
        cost: usize,
    ) -> Result<Option<Permit>> {
        let Some(upstreams) = &self.upstreams else { return Ok(None) };
        let turns = upstreams.get(&upstream).ok_or_else(|| Error::internal("a service without turns"))?;
        let turn = tokio::time::timeout(self.patience, turns.acquire(caller.fairness_key(), cost)).await;
        turn.map(Some).map_err(|_late| too_much(upstream.name()))
    }
}
