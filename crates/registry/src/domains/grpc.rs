//! Custom domains over gRPC, for the service that verifies them.

use chrono::TimeDelta;
use domain::{Error, Result, UnixMillis};
use rpc::{
    enum_number, parse,
    registry::{
        ClaimDomainsRequest, ClaimDomainsResponse, Domain as DomainMessage, ReportDomainRequest,
        ReportDomainResponse,
    },
    write_ctx,
};
use tonic::Request;

use super::{model::Check, ops, verification, view::CustomDomain};
use crate::App;

/// Maximum number of domains per claim.
const MAX_CLAIMS: u32 = 100;
/// Maximum length of a stored reason, in characters.
const MAX_REASON_LENGTH: usize = 1024;

impl From<CustomDomain> for DomainMessage {
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
    let message = request.into_inner();
    if !(1..=MAX_CLAIMS).contains(&message.limit) {
        return Err(Error::invalid("limit", format!("must be 1 to {MAX_CLAIMS}")));
    }
    let pause = i64::try_from(message.pause).ok().and_then(TimeDelta::try_milliseconds);
    let pause = pause
        .filter(|pause| *pause <= TimeDelta::days(366))
        .ok_or_else(|| Error::invalid("pause", "must be at most a year"))?;
    let (domains, more) = ops::claim(app, &ctx, message.limit, pause).await?;
    Ok(ClaimDomainsResponse { domains: domains.into_iter().map(DomainMessage::from).collect(), more })
}

pub(crate) async fn report_domain(
    app: &App,
    request: Request<ReportDomainRequest>,
) -> Result<ReportDomainResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let at =
        UnixMillis::parse(message.checked_at).map_err(|reason| Error::invalid("checked_at", reason))?.time();
    let failure =
        message.reason.map(|reason| reason.replace('\0', "").chars().take(MAX_REASON_LENGTH).collect());
    let id = parse("domain_id", &message.domain_id)?;
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    let found = verification::report(app, &ctx, &scope, id, Check { at, failure }).await?;
    Ok(ReportDomainResponse { status: found.map(|domain| enum_number(domain.status)) })
}
