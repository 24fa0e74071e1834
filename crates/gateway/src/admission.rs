//! Admission: rate limits and authentication.

use std::{net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    http::header::{HeaderMap, HeaderName},
};
use domain::{Kind, Result};
use identity::Caller;

use crate::{
    auth::Authenticator,
    limits::{self, CredentialContext, Limits, Origin, RateDecision},
    wire::Exchange,
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The checks that every request must pass first.
pub(crate) struct Admission {
    authenticator: Authenticator,
    pub(crate) limits: Arc<Limits>,
}

/// The rate limit decision for a request: first for its address, then for its caller.
#[derive(Debug, Default)]
pub(crate) struct RateLimitState {
    decision: Option<RateDecision>,
    /// The delay before the rejection is sent, if the request was rejected.
    pub(crate) delay: Duration,
}

impl RateLimitState {
    /// Adds the rate limit headers of the caller.
    pub(crate) fn write_headers(&self, headers: &mut HeaderMap) {
        let Some(decision) = &self.decision else { return };
        for (name, value) in [(RATE_LIMIT_POLICY, decision.policy()), (RATE_LIMIT, decision.state())] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
}

impl Admission {
    pub(crate) fn new(authenticator: Authenticator, limits: Arc<Limits>) -> Self {
        Self { authenticator, limits }
    }

    /// Returns the client that a request comes from, according to the trusted proxies.
    pub(crate) fn origin(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Origin {
        self.limits.proxies.origin(peer, headers)
    }

    /// Counts a request against the limit of its address.
    ///
    /// # Errors
    /// [`Kind::RateLimited`] when the address has exceeded its limit.
    pub(crate) fn admit_address(&self, origin: Origin, rate: &mut RateLimitState) -> Result<()> {
        let id = || format!("address {}", origin.ip.map(|ip| ip.to_string()).unwrap_or_default());
        let decision = self.limits.take_for_address(origin);
        self.apply(rate, decision, id, "Your address has sent too many requests. Wait before you retry.")?;
        // The headers report only the caller's limit.
        rate.decision = None;
        Ok(())
    }

    /// Authenticates the caller and counts the request against their limit.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`] without a valid credential, [`Kind::RateLimited`] after too many requests or too many
    /// rejected credentials, and the error of an authentication method that cannot decide now.
    pub(crate) async fn admit_caller(
        &self,
        request: &HttpRequest,
        origin: Origin,
        rate: &mut RateLimitState,
    ) -> Result<Caller> {
        let exchange = request.conn_data::<Rc<Exchange>>().cloned().unwrap_or_default();
        // The clients of a proxy share its connections, so a connection says nothing about one client.
        let is_direct = request.peer_addr().map(|peer| peer.ip().to_canonical()) == origin.ip;
        let context = CredentialContext {
            is_guessable: self.authenticator.is_guessable(request.headers()),
            after_rejection: is_direct && exchange.has_rejected_credential(),
        };
        let attempt = self.limits.attempt(origin, request.headers(), context).await?;
        let found = self.authenticator.caller(request.headers()).await;
        if found.as_ref().is_err_and(|error| error.kind() == Kind::Unauthorized) {
            exchange.reject_credential();
        }
        let caller = self.limits.finish_attempt(attempt, found)?;
        // The operator is not one tenant among others: only the limits of the address and of the process apply.
        if !caller.is_operator() {
            let decision = self.limits.take_for_caller(&caller.id);
            let message = "You have sent too many requests. Wait before you retry.";
            self.apply(rate, decision, || caller.id.clone(), message)?;
        }
        Ok(caller)
    }

    fn apply(
        &self,
        rate: &mut RateLimitState,
        decision: Option<RateDecision>,
        id: impl Fn() -> String,
        message: &'static str,
    ) -> Result<()> {
        rate.decision = decision;
        limits::check(decision, message).inspect_err(|_| rate.delay = self.limits.rejection_delay(&id()))
    }
}
