//! `/health`: the process is alive. `/ready`: it can do its work.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use futures_util::future::join_all;
use runtime::Probe;
use serde_json::json;

use super::read_route;

/// Adds both paths; neither needs an identity. `/ready` asks the `Vec<Probe>` in the application's data.
pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/health", read_route().to(health)).route("/ready", read_route().to(ready));
}

async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn ready(probes: web::Data<Vec<Probe>>) -> HttpResponse {
    let answers = join_all(probes.iter().map(Probe::run)).await;
    let ready = probes.iter().zip(&answers).all(|(probe, answer)| !probe.is_needed() || answer.is_ok());
    let checks: BTreeMap<&str, &str> = probes
        .iter()
        .zip(&answers)
        .map(|(probe, answer)| (probe.name(), answer.as_ref().map_or_else(String::as_str, |()| "ok")))
        .collect();
    let (mut answer, status) =
        if ready { (HttpResponse::Ok(), "ready") } else { (HttpResponse::ServiceUnavailable(), "not_ready") };
    answer.json(json!({ "status": status, "checks": checks }))
}
