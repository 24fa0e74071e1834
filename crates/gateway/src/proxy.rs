//! The handler of all paths that the gateway does not serve itself. It admits, routes and forwards requests.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    body::MessageBody,
    http::{Method, header},
    web::{Data, Payload},
};
use domain::{Error, Kind, Result};
use runtime::error::log;
use web::{RouteName, request_id};

use crate::{
    admission::RateLimitState,
    docs::Docs,
    forward::{Admitted, Forwarder},
    load::Load,
    policy::{CurrentPolicy, Policy},
    request_head::reject_encoded,
    routes::{self, GATEWAY_PATHS, Target},
    stream::{ClientBody, RejectionBody},
};

/// The supported methods. The gateway forwards all except `OPTIONS`.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

/// The proxy of one worker thread.
pub(crate) struct Proxy {
    policy: CurrentPolicy,
    docs: Arc<Docs>,
    load: Load,
    forwarder: Forwarder,
}

/// The handler of every path that the gateway does not serve itself.
pub(crate) async fn forward(request: HttpRequest, body: Payload, proxy: Data<Proxy>) -> HttpResponse {
    let body = Rc::new(RefCell::new(body.into_inner()));
    let mut rate = RateLimitState::default();
    let mut response = match proxy.handle(&request, &body, &mut rate).await {
        Ok(response) => response,
        Err(error) => {
            // The request holds no permit during the delay.
            if !rate.delay.is_zero() {
                tokio::time::sleep(rate.delay).await;
            }
            reject(&request, &error, body)
        }
    };
    rate.write_headers(response.headers_mut());
    response
}

/// Returns the response for an error, as the envelope.
fn reject(request: &HttpRequest, error: &Error, unread: ClientBody) -> HttpResponse {
    log(error);
    let mut response = web::error::response(error, &request_id(request)).map_body(|_, body| {
        body.try_into_bytes().map_or_else(|body| body, |text| RejectionBody::new(text, unread).boxed())
    });
    if error.kind() == Kind::Unauthorized {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    response
}

impl Proxy {
    pub(crate) fn new(policy: CurrentPolicy, docs: Arc<Docs>, load: Load, forwarder: Forwarder) -> Self {
        Self { policy, docs, load, forwarder }
    }

    /// Returns the current policy.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    async fn handle(
        &self,
        request: &HttpRequest,
        body: &ClientBody,
        rate: &mut RateLimitState,
    ) -> Result<HttpResponse> {
        let policy = self.policy();
        let (admission, limits) = (&policy.admission, &policy.admission.limits);
        let process = self.load.acquire(limits.settings.max_in_flight)?;
        let origin = admission.origin(request.peer_addr().map(|peer| peer.ip()), request.headers());
        admission.admit_address(origin, rate)?;
        if let Some(response) = policy.cors.preflight(request) {
            return Ok(response);
        }
        if request.method() == Method::OPTIONS && self.docs.is_public(request.path()) {
            return self.docs.options(request.path());
        }
        // Authentication comes before routing, so that an unauthenticated client cannot discover paths.
        let caller = admission.admit_caller(request, origin, rate).await?;
        let (method, path) = (request.method(), request.uri().path());
        if method == Method::OPTIONS && path == "*" {
            return self.docs.options("*");
        }
        let Target { upstream, path: upstream_path, .. } = self.route(request)?;
        if method == Method::OPTIONS {
            return self.docs.options(path);
        }
        reject_encoded(request)?;
        let caller_permit = self.load.acquire_for_caller(&caller.id, limits.settings.per_caller_in_flight)?;
        let cost = self.docs.costs.cost(method, path);
        let upstream_permit = limits.upstreams.acquire(upstream, &caller, cost).await?;
        let permits = (process, upstream_permit, caller_permit);
        let admitted = Admitted { caller, origin, upstream, path: &upstream_path, permits };
        self.forwarder.forward(request, body, admitted, &policy.destinations).await
    }

    /// Finds the service of a request, and sets the route name of the metrics.
    fn route<'a>(&self, request: &'a HttpRequest) -> Result<Target<'a>> {
        let (path, method) = (request.uri().path(), request.method());
        let rejection = || self.docs.paths.rejection(path, method.as_str());
        let target = match routes::find(path) {
            Err(_) if GATEWAY_PATHS.contains(&path) => return Err(rejection()),
            found => found?,
        };
        request.extensions_mut().insert(RouteName(target.name));
        if METHODS.contains(&method.as_str()) { Ok(target) } else { Err(rejection()) }
    }
}
