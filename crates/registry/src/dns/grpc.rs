//! DNS records over gRPC.

use domain::{Error, HostName, PlatformId, Result, ownership::PlatformHost};
use rpc::{
    enum_number, parse, parse_enum,
    registry::{
        DeleteDnsRecordRequest, DeleteDnsRecordResponse, DnsRecord as Said, EnsureDnsRecordRequest,
        EnsureDnsRecordResponse,
    },
    required, write_ctx,
};
use tonic::Request;

use super::{
    model::{DnsRecord, NewDnsRecord},
    ops,
};
use crate::App;

impl From<DnsRecord> for Said {
    fn from(row: DnsRecord) -> Self {
        Self {
            id: row.id.to_string(),
            platform_id: row.platform_id.to_string(),
            stack_id: row.stack_id.to_string(),
            hostname: row.hostname.to_string(),
            target_type: row.target_type.to_string(),
            resource_id: row.resource_id.to_string(),
            environment: enum_number(row.environment),
            cf_route_id: row.cf_route_id,
            status: enum_number(row.status),
        }
    }
}

/// What provisioning makes has a name by the rule. That another one is rejected also reveals that the two processes have
/// different base domains.
fn read(said: Said, platform: &PlatformId, base: &HostName) -> Result<NewDnsRecord> {
    let hostname = PlatformHost::new(parse("record.hostname", &said.hostname)?, platform, base)
        .map_err(|why| Error::invalid("record.hostname", why))?;
    Ok(NewDnsRecord {
        stack_id: parse("record.stack_id", &said.stack_id)?,
        hostname: hostname.into(),
        target_type: parse("record.target_type", &said.target_type)?,
        resource_id: parse("record.resource_id", &said.resource_id)?,
        environment: parse_enum("record.environment", said.environment)?,
        cf_route_id: said.cf_route_id,
        status: parse_enum("record.status", said.status)?,
    })
}

pub(crate) async fn ensure_dns_record(
    app: &App,
    request: Request<EnsureDnsRecordRequest>,
) -> Result<EnsureDnsRecordResponse> {
    let ctx = write_ctx(&request)?;
    let said = required("record", request.into_inner().record)?;
    let platform: PlatformId = parse("record.platform_id", &said.platform_id)?;
    let scope = ctx.platform(&platform)?;
    let done = ops::ensure(app, &ctx, &scope, read(said, &platform, &app.own.base_domain)?).await?;
    Ok(EnsureDnsRecordResponse { record: Some(done.value.into()) })
}

pub(crate) async fn delete_dns_record(
    app: &App,
    request: Request<DeleteDnsRecordRequest>,
) -> Result<DeleteDnsRecordResponse> {
    let ctx = write_ctx(&request)?;
    let asked = request.into_inner();
    let id = parse("dns_record_id", &asked.dns_record_id)?;
    let scope = ctx.platform(&parse("platform_id", &asked.platform_id)?)?;
    ops::delete_once(app, &ctx, &scope, id).await?;
    Ok(DeleteDnsRecordResponse {})
}
