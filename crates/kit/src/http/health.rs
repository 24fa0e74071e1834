//! `/health`: the process is alive. `/ready`: it can do its work.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix_web::{HttpResponse, web};
use futures_util::future::{BoxFuture, join_all};
use serde_json::json;

use super::read_route;

const DEADLINE: Duration = Duration::from_secs(2);

type Ask = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// One thing that `/ready` looks at.
#[derive(Clone)]
pub struct Probe {
    name: &'static str,
    needed: bool,
    ask: Arc<Ask>,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Probe({})", self.name)
    }
}

impl Probe {
    /// Something without which the service is not ready.
    pub fn needed(
        name: &'static str,
        ask: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, needed: true, ask: Arc::new(ask) }
    }

    /// Something whose absence is told, but that the service works without for a while.
    pub fn told(
        name: &'static str,
        ask: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, needed: false, ask: Arc::new(ask) }
    }

    async fn run(&self) -> Result<(), String> {
        tokio::time::timeout(DEADLINE, (self.ask)())
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }
}

/// Adds both paths; neither needs an identity. `/ready` asks the `Vec<Probe>` in the application's data.
pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/health", read_route().to(health)).route("/ready", read_route().to(ready));
}

async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn ready(probes: web::Data<Vec<Probe>>) -> HttpResponse {
    let answers = join_all(probes.iter().map(Probe::run)).await;
    let ready = probes.iter().zip(&answers).all(|(probe, answer)| !probe.needed || answer.is_ok());
    let checks: BTreeMap<&str, &str> = probes
        .iter()
        .zip(&answers)
        .map(|(probe, answer)| (probe.name, answer.as_ref().map_or_else(String::as_str, |()| "ok")))
        .collect();
    let (mut answer, status) =
        if ready { (HttpResponse::Ok(), "ready") } else { (HttpResponse::ServiceUnavailable(), "not_ready") };
    answer.json(json!({ "status": status, "checks": checks }))
}
