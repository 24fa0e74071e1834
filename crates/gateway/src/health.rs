//! What `/ready` of the gateway looks at: `/ready` of every service.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::http::Uri;
use kit::{http::Probe, service::ask_ready};
use tokio::{sync::Mutex, time::timeout};

use crate::routes::Upstream;

/// How long a service may take to answer.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long an answer is told again: anyone may ask, and each question would be one to every service.
const FRESH: Duration = Duration::from_secs(1);

type Answer = Result<(), String>;

/// Asks the service at `address`.
pub(crate) fn probe(upstream: Upstream, address: &Uri) -> Probe {
    let name = upstream.name();
    let host: Arc<str> = address.host().unwrap_or_default().trim_matches(['[', ']']).into();
    let port = address.port_u16().unwrap_or(80);
    let last: Arc<Mutex<Option<(Instant, Answer)>>> = Arc::default();
    Probe::needed(name, move || {
        let (host, last) = (Arc::clone(&host), Arc::clone(&last));
        Box::pin(async move {
            // Held while the service is asked, so that it is asked once however many want to know.
            let mut last = last.lock().await;
            if let Some((at, answer)) = &*last
                && at.elapsed() < FRESH
            {
                return answer.clone();
            }
            let answer = ask(name, &host, port).await;
            *last = Some((Instant::now(), answer.clone()));
            answer
        })
    })
}

/// The cause goes to the log: a probe's answer is public.
async fn ask(name: &str, host: &str, port: u16) -> Answer {
    let cause = match timeout(DEADLINE, ask_ready(host, port)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_elapsed) => "no answer in time".to_owned(),
    };
    tracing::warn!(upstream = name, cause, "not ready");
    Err("does not answer or is not ready".to_owned())
}
