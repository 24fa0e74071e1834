//! Custom domains over gRPC: for whoever checks where they lead.

use chrono::TimeDelta;
use domain::{Error, Result, UnixMillis};
use rpc::{
    enum_number, parse,
    registry::{
        ClaimDomainsRequest, ClaimDomainsResponse, Domain as Said, ReportDomainRequest, ReportDomainResponse,
    },
    write_ctx,
};
use tonic::Request;

use super::{model::Check, ops, verification, view::CustomDomain};
use crate::App;

/// The most that are claimed at once.
const MOST: u32 = 100;
/// The longest reason that is kept, in characters.
const LONGEST: usize = 1024;

impl From<CustomDomain> for Said {
    fn from(domain: CustomDomain) -> Self {
        Self {
            id: domain.id.to_string(),
            platform_id: domain.platform_id.to_string(),
            hostname: domain.hostname.to_string(),
            target_dns: domain.target_dns.to_string(),
            cf_hostname_id: domain.cf_hostname_id,
            status: enum_number(domain.status),
        }
    }
}

pub(crate) async fn claim_domains(
    app: &App,
    request: Request<ClaimDomainsRequest>,
) -> Result<ClaimDomainsResponse> {
    let ctx = write_ctx(&request)?;
    let asked = request.into_inner();
    if !(1..=MOST).contains(&asked.limit) {
        return Err(Error::invalid("limit", format!("must be 1 to {MOST}")));
    }
    let pause = i64::try_from(asked.pause).ok().and_then(TimeDelta::try_milliseconds);
    let pause = pause
        .filter(|pause| *pause <= TimeDelta::days(366))
        .ok_or_else(|| Error::invalid("pause", "must be at most a year"))?;
    let (domains, more) = ops::claim(app, &ctx, asked.limit, pause).await?;
    Ok(ClaimDomainsResponse { domains: domains.into_iter().map(Said::from).collect(), more })
}

pub(crate) async fn report_domain(
    app: &App,
    request: Request<ReportDomainRequest>,
) -> Result<ReportDomainResponse> {
    let ctx = write_ctx(&request)?;
    let asked = request.into_inner();
    let at = UnixMillis::parse(asked.checked_at).map_err(|why| Error::invalid("checked_at", why))?.time();
    let not_yet = asked.reason.map(|reason| reason.replace('\0', "").chars().take(LONGEST).collect());
    let id = parse("domain_id", &asked.domain_id)?;
    let scope = ctx.platform(&parse("platform_id", &asked.platform_id)?)?;
    let found = verification::report(app, &ctx, &scope, id, Check { at, not_yet }).await?;
    Ok(ReportDomainResponse { status: found.map(|domain| enum_number(domain.status)) })
}
