//! What `/ready` of the gateway looks at: `/ready` of every service.

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

/// How long a service may take to answer.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long an answer is told again: anyone may ask, and each question would be one to every service.
const FRESH: Duration = Duration::from_secs(1);

type Answer = Result<(), String>;

/// The probes of all services, of the watch on revocations, and of the circuit breakers.
pub(crate) fn probes(policy: &CurrentPolicy, breakers: &Breakers, tls: Option<&Tls>) -> Vec<Probe> {
    let of_service = |upstream| probe(upstream, Arc::clone(policy), tls.cloned());
    let mut probes: Vec<Probe> = Upstream::ALL.into_iter().map(of_service).collect();
    let current = Arc::clone(policy);
    probes.push(iam::probe(move || Arc::clone(&current.load().iam)));
    probes.push(breakers.probe());
    probes
}

/// The probe of one service. Without iam the operator can still call, so its absence is reported and no more.
fn probe(upstream: Upstream, policy: CurrentPolicy, tls: Option<Tls>) -> Probe {
    let name = upstream.name();
    let last: Arc<Mutex<Option<(Instant, Answer)>>> = Arc::default();
    let look = move || -> BoxFuture<'static, Answer> {
        let address = policy.load().destinations.addresses.get(&upstream).cloned();
        let (last, tls) = (Arc::clone(&last), tls.clone());
        Box::pin(async move {
            let address = address.unwrap_or_default();
            let host = address.host().unwrap_or_default();
            let port = address.port_u16().unwrap_or(80);
            // Held while the service is asked, so that it is asked once however many want to know.
            let mut last = last.lock().await;
            if let Some((at, answer)) = &*last
                && at.elapsed() < FRESH
            {
                return answer.clone();
            }
            let answer = ask(name, host, port, tls.as_ref()).await;
            *last = Some((Instant::now(), answer.clone()));
            answer
        })
    };
    if upstream == Upstream::Iam { Probe::optional(name, look) } else { Probe::required(name, look) }
}

/// The cause goes to the log: a probe's answer is public.
async fn ask(name: &str, host: &str, port: u16, tls: Option<&Tls>) -> Answer {
    let cause = match timeout(DEADLINE, check_ready(host, port, tls)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_elapsed) => "no answer in time".to_owned(),
    };
    tracing::warn!(upstream = name, cause, "not ready");
    Err("does not answer or is not ready".to_owned())
}
