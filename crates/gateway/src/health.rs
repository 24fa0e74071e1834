//! The probes of the gateway's `/ready`, which call `/ready` of every service.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use identity::tls::Tls;
use runtime::Probe;
use tokio::{sync::Mutex, time::timeout};
use web::check_ready;

use crate::{breaker::Breakers, iam, policy::CurrentPolicy, upstream::Upstream};

/// Time limit for the response of a service.
const DEADLINE: Duration = Duration::from_secs(1);
/// Time for which a result is cached. Anyone may call `/ready`, and each call would otherwise cause one to every
/// service.
const CACHE_TIME: Duration = Duration::from_secs(1);

type CheckResult = Result<(), String>;

/// Returns the probes of all services, of the revocation stream, and of the circuit breakers.
pub(crate) fn probes(policy: &CurrentPolicy, breakers: &Breakers, tls: Option<&Tls>) -> Vec<Probe> {
    let of_service = |upstream| probe(upstream, Arc::clone(policy), tls.cloned());
    let mut probes: Vec<Probe> = Upstream::ALL.into_iter().map(of_service).collect();
    let current = Arc::clone(policy);
    probes.push(iam::probe(move || Arc::clone(&current.load().iam)));
    probes.push(breakers.probe());
    probes
}

/// Returns the probe of one service. It is optional for iam, because operators can still call without it.
fn probe(upstream: Upstream, policy: CurrentPolicy, tls: Option<Tls>) -> Probe {
    let name = upstream.name();
    let last: Arc<Mutex<Option<(Instant, CheckResult)>>> = Arc::default();
    let check = move || -> BoxFuture<'static, CheckResult> {
        let address = policy.load().destinations.addresses.get(&upstream).cloned();
        let (last, tls) = (Arc::clone(&last), tls.clone());
        Box::pin(async move {
            let address = address.unwrap_or_default();
            let host = address.host().unwrap_or_default();
            let port = address.port_u16().unwrap_or(80);
            // The lock is held during the call, so that concurrent requests cause only one.
            let mut last = last.lock().await;
            if let Some((at, result)) = &*last
                && at.elapsed() < CACHE_TIME
            {
                return result.clone();
            }
            let result = check_service(name, host, port, tls.as_ref()).await;
            *last = Some((Instant::now(), result.clone()));
            result
        })
    };
    if upstream == Upstream::Iam { Probe::optional(name, check) } else { Probe::required(name, check) }
}

/// Calls `/ready` of a service. The cause of a failure is only logged, because the response of a probe is public.
async fn check_service(name: &str, host: &str, port: u16, tls: Option<&Tls>) -> CheckResult {
    let cause = match timeout(DEADLINE, check_ready(host, port, tls)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_elapsed) => "did not respond in time".to_owned(),
    };
    tracing::warn!(upstream = name, cause, "a service is not ready");
    Err("does not respond or is not ready".to_owned())
}
