//! Custom domains: checks whether those that wait lead to their targets yet.
//!
//! The registry says which are due and keeps when each is due again, so that any number of processes share the work
//! and none is checked twice. What a check finds is reported with the time it began; the registry ignores what it has
//! heard before. Whatever goes wrong with one domain is told in the log, and is tried again when it is due again.

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

/// How custom domains are checked.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainSettings {
    /// How often a domain that waits is checked.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub check_every: Duration,
    /// Domains that are checked side by side in this process.
    #[schema(minimum = 1, maximum = 64)]
    pub concurrency: u32,
}

/// How often the registry is asked what is due; a new domain is due at once.
const ASK_EVERY: Duration = Duration::from_secs(15);
/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Checks domains until the process stops.
pub(crate) fn start(app: &App, settings: DomainSettings, shutdown: &Shutdown) {
    let (app, stop) = (app.clone(), shutdown.clone());
    let idle = ASK_EVERY.min(settings.check_every);
    worker::run(shutdown, "custom_domains", idle, Arc::default(), move || {
        let (app, stop) = (app.clone(), stop.clone());
        async move { turn(&app, settings, &stop).await }
    });
}

/// Checks what is due now, a page of it; answers whether more may be due.
async fn turn(app: &App, settings: DomainSettings, stop: &Shutdown) -> Result<bool> {
    let ctx = Ctx::for_service("provisioning", domain::id::uuid_v7().to_string());
    let page = claim(app, &ctx, settings).await?;
    let checks = page.domains.into_iter().map(|domain| check(app, &ctx, domain));
    let side_by_side = usize::try_from(settings.concurrency).unwrap_or(1).max(1);
    tokio::select! {
        () = stream::iter(checks).buffer_unordered(side_by_side).for_each(|()| async {}) => {}
        // What is left is checked when it is due again.
        () = stop.begun() => {}
    }
    Ok(page.more)
}

/// A page is what is checked at once, so that none waits here while another process could take it.
async fn claim(app: &App, ctx: &Ctx, settings: DomainSettings) -> Result<ClaimDomainsResponse> {
    let pause = u64::try_from(settings.check_every.as_millis()).map_err(Error::internal)?;
    let message = ClaimDomainsRequest { limit: settings.concurrency, pause };
    app.registry.call(ctx, message).await
}

/// Checks one domain and reports. Whatever fails stops no other.
async fn check(app: &App, ctx: &Ctx, domain: Domain) {
    let began = clock::now();
    let verdict = tokio::time::timeout(PATIENCE, verify(app, &domain)).await;
    let hostname = &domain.hostname;
    let (outcome, reason) = match verdict {
        Ok(Ok(DomainCheck::Verified)) => ("verified", None),
        Ok(Ok(DomainCheck::NotYet(why))) => ("not_yet", Some(why)),
        Ok(Err(error)) => ("failed", Some(format!("where {hostname} leads could not be found out: {error}"))),
        Err(_) => ("failed", Some(format!("where {hostname} leads could not be found out in time"))),
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
        let (told, context) = (error.message(), error.log_context());
        tracing::warn!(domain = domain.hostname, told, context, "a check could not be reported");
    }
}

async fn verify(app: &App, domain: &Domain) -> Result<DomainCheck, ProviderError> {
    let platform = domain.platform_id.parse::<PlatformId>();
    let owner = Owner::of(&platform.map_err(|why| ProviderError::permanent(why.to_string()))?);
    let hostname = parse_host_name(&domain.hostname)?;
    let target = parse_host_name(&domain.target_dns)?;
    app.provider.verify_domain(&owner, &hostname, &target).await
}

async fn report(app: &App, ctx: &Ctx, message: ReportDomainRequest) -> Result<()> {
    app.registry.call(ctx, message).await.map(drop)
}
