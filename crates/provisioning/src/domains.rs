//! Verification of custom domains: checks if pending domains point to their targets.
//!
//! The registry returns the domains that are due and schedules their next check, so that any number of processes share
//! the work and no domain is checked twice. Each report contains the time at which its check began, and the registry
//! ignores outdated reports. Errors of one domain are logged; its next check retries.

use std::{sync::Arc, time::Duration};

use domain::{Error, PlatformId, Result};
use futures_util::{StreamExt, stream};
use identity::Ctx;
use opentelemetry::KeyValue;
use rpc::registry::{ClaimDomainsRequest, ClaimDomainsResponse, Domain, ReportDomainRequest};
use runtime::{clock, shutdown::Shutdown, telemetry, worker};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    providers::{DomainCheck, Owner, ProviderError, parse_host_name},
};

/// Settings of the verification of custom domains.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainSettings {
    /// Interval between two checks of a pending domain.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub check_every: Duration,
    /// Maximum number of concurrent checks in this process.
    #[schema(minimum = 1, maximum = 64)]
    pub concurrency: u32,
}

/// Interval at which the registry is polled for due domains. A new domain is due at once.
const POLL_INTERVAL: Duration = Duration::from_secs(15);
/// Time limit of one check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);

/// Starts the worker, which runs until the process stops.
pub(crate) fn start(app: &App, settings: DomainSettings, shutdown: &Shutdown) {
    let (app, stop) = (app.clone(), shutdown.clone());
    let idle = POLL_INTERVAL.min(settings.check_every);
    worker::run(shutdown, "custom_domains", idle, Arc::default(), move || {
        let (app, stop) = (app.clone(), stop.clone());
        async move { run_once(&app, settings, &stop).await }
    });
}

/// Checks one page of due domains. Returns true if more may be due.
async fn run_once(app: &App, settings: DomainSettings, stop: &Shutdown) -> Result<bool> {
    let ctx = Ctx::for_service("provisioning", domain::id::uuid_v7().to_string());
    let page = claim(app, &ctx, settings).await?;
    let checks = page.domains.into_iter().map(|domain| check(app, &ctx, domain));
    let concurrency = usize::try_from(settings.concurrency).unwrap_or(1).max(1);
    tokio::select! {
        () = stream::iter(checks).buffer_unordered(concurrency).for_each(|()| async {}) => {}
        // The remaining domains are checked when they are due again.
        () = stop.begun() => {}
    }
    Ok(page.more)
}

/// Claims a page of due domains. The page is as large as the concurrency, so that no claimed domain waits.
async fn claim(app: &App, ctx: &Ctx, settings: DomainSettings) -> Result<ClaimDomainsResponse> {
    let pause = u64::try_from(settings.check_every.as_millis()).map_err(Error::internal)?;
    let message = ClaimDomainsRequest { limit: settings.concurrency, pause };
    app.registry.call(ctx, message).await
}

/// Checks one domain and reports the result. Logs errors, so that they do not affect other domains.
async fn check(app: &App, ctx: &Ctx, domain: Domain) {
    let began = clock::now();
    let result = tokio::time::timeout(CHECK_TIMEOUT, verify(app, &domain)).await;
    let hostname = &domain.hostname;
    let (outcome, reason) = match result {
        Ok(Ok(DomainCheck::Verified)) => ("verified", None),
        Ok(Ok(DomainCheck::NotYet(reason))) => ("not_yet", Some(reason)),
        Ok(Err(error)) => ("failed", Some(format!("{hostname} could not be checked: {error}"))),
        Err(_) => ("failed", Some(format!("{hostname} could not be checked in time"))),
    };
    let took = (clock::now() - began).to_std().unwrap_or_default();
    telemetry::measure("nno.domain.check.duration", &[KeyValue::new("outcome", outcome)], took);
    tracing::debug!(domain = domain.hostname, outcome, reason, "checked a custom domain");
    let message = ReportDomainRequest {
        platform_id: domain.platform_id,
        domain_id: domain.id,
        checked_at: began.timestamp_millis(),
        reason,
    };
    if let Err(error) = report(app, ctx, message).await {
        let (error, context) = (error.message(), error.log_context());
        tracing::warn!(
            domain = domain.hostname,
            error,
            context,
            "could not report the check of a custom domain"
        );
    }
}

async fn verify(app: &App, domain: &Domain) -> Result<DomainCheck, ProviderError> {
    let platform = domain.platform_id.parse::<PlatformId>();
    let owner = Owner::of(&platform.map_err(|reason| ProviderError::permanent(reason.to_string()))?);
    let hostname = parse_host_name(&domain.hostname)?;
    let target = parse_host_name(&domain.target_dns)?;
    app.provider.verify_domain(&owner, &hostname, &target).await
}

async fn report(app: &App, ctx: &Ctx, message: ReportDomainRequest) -> Result<()> {
    app.registry.call(ctx, message).await.map(drop)
}
