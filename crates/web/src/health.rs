//! `/health` (the process is alive) and `/ready` (it can serve requests).

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use futures_util::future::join_all;
use runtime::Probe;
use serde_json::json;

use super::read_route;

/// Adds both paths. Neither requires an identity. `/ready` runs the `Vec<Probe>` in the application data.
pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/health", read_route().to(health)).route("/ready", read_route().to(ready));
}

async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn ready(probes: web::Data<Vec<Probe>>) -> HttpResponse {
    let results = join_all(probes.iter().map(Probe::run)).await;
    let ready = probes.iter().zip(&results).all(|(probe, result)| !probe.is_required() || result.is_ok());
    let checks: BTreeMap<&str, &str> = probes
        .iter()
        .zip(&results)
        .map(|(probe, result)| (probe.name(), result.as_ref().map_or_else(String::as_str, |()| "ok")))
        .collect();
    let (mut response, status) =
        if ready { (HttpResponse::Ok(), "ready") } else { (HttpResponse::ServiceUnavailable(), "not_ready") };
    response.json(json!({ "status": status, "checks": checks }))
}
