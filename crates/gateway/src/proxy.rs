//! The handler of all paths that the gateway does not serve itself: admit, route, forward.

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
    admission::Share,
    docs::Docs,
    forward::{Admitted, Forwarder},
    load::Load,
    policy::{CurrentPolicy, Policy},
    request_head::refuse_encoded,
    routes::{self, OWN, Target},
    stream::{ClientBody, Refusal},
};

/// The methods that any path takes. All but `OPTIONS` are passed on.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

/// The proxy of one worker thread.
pub(crate) struct Proxy {
    policy: CurrentPolicy,
    docs: Arc<Docs>,
    load: Load,
    forwarder: Forwarder,
}

/// The handler of every path that is not the gateway's own.
pub(crate) async fn forward(request: HttpRequest, body: Payload, proxy: Data<Proxy>) -> HttpResponse {
    let body = Rc::new(RefCell::new(body.into_inner()));
    let mut share = Share::default();
    let mut answer = match proxy.handle(&request, &body, &mut share).await {
        Ok(answer) => answer,
        Err(error) => {
            // The request holds no permit meanwhile.
            if !share.delay.is_zero() {
                tokio::time::sleep(share.delay).await;
            }
            refuse(&request, &error, body)
        }
    };
    share.write_headers(answer.headers_mut());
    answer
}

/// An answer of our own, as the envelope.
fn refuse(request: &HttpRequest, error: &Error, unread: ClientBody) -> HttpResponse {
    log(error);
    let mut answer = web::error::response(error, &request_id(request)).map_body(|_, body| {
        body.try_into_bytes().map_or_else(|body| body, |text| Refusal::new(text, unread).boxed())
    });
    if error.kind() == Kind::Unauthorized {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    answer
}

impl Proxy {
    pub(crate) fn new(policy: CurrentPolicy, docs: Arc<Docs>, load: Load, forwarder: Forwarder) -> Self {
        Self { policy, docs, load, forwarder }
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    async fn handle(
        &self,
        request: &HttpRequest,
        body: &ClientBody,
        share: &mut Share,
    ) -> Result<HttpResponse> {
        let policy = self.policy();
        let (admission, limits) = (&policy.admission, &policy.admission.limits);
        let process = self.load.enter(limits.settings.max_in_flight)?;
        let origin = admission.origin(request.peer_addr().map(|peer| peer.ip()), request.headers());
        admission.admit_address(origin, share)?;
        if let Some(answer) = policy.cors.preflight(request) {
            return Ok(answer);
        }
        if request.method() == Method::OPTIONS && self.docs.is_open(request.path()) {
            return self.docs.options(request.path());
        }
        // The caller before the route: a stranger learns nothing about what exists.
        let caller = admission.admit_caller(request, origin, share).await?;
        let (method, path) = (request.method(), request.uri().path());
        if method == Method::OPTIONS && path == "*" {
            return self.docs.options("*");
        }
        let Target { upstream, path: upstream_path, .. } = self.route(request)?;
        if method == Method::OPTIONS {
            return self.docs.options(path);
        }
        refuse_encoded(request)?;
        let own = self.load.of_caller(&caller.id, limits.settings.per_caller_in_flight)?;
        let cost = self.docs.costs.of_request(method, path);
        let turn = limits.turns.at(upstream, &caller, cost).await?;
        let permits = (process, turn, own);
        let admitted = Admitted { caller, origin, upstream, path: &upstream_path, permits };
        self.forwarder.forward(request, body, admitted, &policy.destinations).await
    }

    /// Finds the service of a request, and names the route for the metrics.
    fn route<'a>(&self, request: &'a HttpRequest) -> Result<Target<'a>> {
        let (path, method) = (request.uri().path(), request.method());
        let refusal = || self.docs.paths.rejection(path, method.as_str());
        let target = match routes::find(path) {
            Err(_) if OWN.contains(&path) => return Err(refusal()),
            found => found?,
        };
        request.extensions_mut().insert(RouteName(target.name));
        if METHODS.contains(&method.as_str()) { Ok(target) } else { Err(refusal()) }
    }
}
