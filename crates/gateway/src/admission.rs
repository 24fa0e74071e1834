//! Admission: which requests are let in, and who sent them.

use std::{net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    http::header::{HeaderMap, HeaderName},
};
use domain::{Kind, Result};
use identity::Caller;

use crate::{
    auth::Authenticator,
    limits::{self, Limits, Origin, RateDecision, Shown},
    wire::Exchange,
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The checks that a request passes before anything is done for it.
pub(crate) struct Admission {
    authenticator: Authenticator,
    pub(crate) limits: Arc<Limits>,
}

/// The rate limit decision that applies to a request: of its address first, then of its caller.
#[derive(Debug, Default)]
pub(crate) struct Share {
    decision: Option<RateDecision>,
    /// The time for which the refusal is held back, if there was no token.
    pub(crate) delay: Duration,
}

impl Share {
    /// Writes the rate limit headers of the caller's share.
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

    /// The client that a request comes from, as far as the proxies in front can be trusted.
    pub(crate) fn origin(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Origin {
        self.limits.proxies.origin(peer, headers)
    }

    /// Counts a request of an address.
    ///
    /// # Errors
    /// [`Kind::RateLimited`] when the address has sent too many.
    pub(crate) fn admit_address(&self, origin: Origin, share: &mut Share) -> Result<()> {
        let id = || format!("address {}", origin.ip.map(|ip| ip.to_string()).unwrap_or_default());
        let taken = self.limits.of_address(origin);
        self.take(share, taken, id, "Too many requests come from your address")?;
        // Only the caller's share is reported in headers.
        share.decision = None;
        Ok(())
    }

    /// Authenticates the caller and counts the request as theirs.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`] without a valid credential, [`Kind::RateLimited`] after too many requests or too many
    /// refused credentials, and the error of an authentication method that cannot decide now.
    pub(crate) async fn admit_caller(
        &self,
        request: &HttpRequest,
        origin: Origin,
        share: &mut Share,
    ) -> Result<Caller> {
        let exchange = request.conn_data::<Rc<Exchange>>().cloned().unwrap_or_default();
        // A proxy's connections are shared by its clients: they say nothing about any one of them.
        let is_direct = request.peer_addr().map(|peer| peer.ip().to_canonical()) == origin.ip;
        let shown = Shown {
            is_guessable: self.authenticator.is_guessable(request.headers()),
            after_a_bad_one: is_direct && exchange.has_shown_bad_credential(),
        };
        let attempt = self.limits.attempt(origin, request.headers(), shown).await?;
        let found = self.authenticator.caller(request.headers()).await;
        if found.as_ref().is_err_and(|error| error.kind() == Kind::Unauthorized) {
            exchange.refused_credential();
        }
        let caller = self.limits.tried(attempt, found)?;
        // The operator is not one tenant among others: only the limits of the address and of the process apply.
        if !caller.is_operator() {
            let taken = self.limits.of_caller(&caller.id);
            self.take(share, taken, || caller.id.clone(), "You have sent too many requests")?;
        }
        Ok(caller)
    }

    fn take(
        &self,
        share: &mut Share,
        taken: Option<RateDecision>,
        id: impl Fn() -> String,
        why: &'static str,
    ) -> Result<()> {
        share.decision = taken;
        limits::pass(taken, why).inspect_err(|_| share.delay = self.limits.refusal_delay(&id()))
    }
}
