//! Limits on the requests in progress per service, shared fairly among tenants.

use std::{collections::HashMap, time::Duration};

use domain::{Error, Result};
use identity::Caller;
use runtime::fair::{FairSemaphore, Permit};

use super::settings::LimitSettings;
use crate::{load::overloaded, upstream::Upstream};

/// The limits on requests in progress of all services.
#[derive(Debug)]
pub(crate) struct UpstreamLimits {
    /// `None` if there is no limit.
    semaphores: Option<HashMap<Upstream, FairSemaphore>>,
    max_wait: Duration,
}

impl UpstreamLimits {
    pub(super) fn new(settings: &LimitSettings) -> Self {
        let max = Some(settings.max_in_flight_per_upstream).filter(|max| *max > 0);
        let all =
            |max| Upstream::ALL.into_iter().map(|upstream| (upstream, FairSemaphore::new(max))).collect();
        Self { semaphores: max.map(all), max_wait: settings.queue_timeout }
    }

    /// Waits for a permit for a caller's request to a service. The request counts as `cost` requests.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when the wait exceeds the limit.
    pub(crate) async fn acquire(
        &self,
        upstream: Upstream,
        caller: &Caller,
        cost: usize,
    ) -> Result<Option<Permit>> {
        let Some(semaphores) = &self.semaphores else { return Ok(None) };
        let semaphore =
            semaphores.get(&upstream).ok_or_else(|| Error::internal("the service has no semaphore"))?;
        let permit =
            tokio::time::timeout(self.max_wait, semaphore.acquire(caller.fairness_key(), cost)).await;
        permit.map(Some).map_err(|_elapsed| overloaded(&format!("the service '{}'", upstream.name())))
    }
}
