//! DNS records over gRPC.

use domain::{Error, HostName, PlatformId, Result, ownership::PlatformHost};
use rpc::{
    enum_number, parse, parse_enum,
    registry::{
        DeleteDnsRecordRequest, DeleteDnsRecordResponse, DnsRecord as DnsRecordMessage,
        EnsureDnsRecordRequest, EnsureDnsRecordResponse,
    },
    required, write_ctx,
};
use tonic::Request;

use super::{
    model::{DnsRecord, NewDnsRecord},
    ops,
};
use crate::App;

impl From<DnsRecord> for DnsRecordMessage {
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

/// Converts a record of provisioning. Rejects host names that do not follow the naming rule, which also reveals
/// different base domains in the two processes.
fn read(message: DnsRecordMessage, platform: &PlatformId, base: &HostName) -> Result<NewDnsRecord> {
    let hostname = PlatformHost::new(parse("record.hostname", &message.hostname)?, platform, base)
        .map_err(|reason| Error::invalid("record.hostname", reason))?;
    Ok(NewDnsRecord {
        stack_id: parse("record.stack_id", &message.stack_id)?,
        hostname: hostname.into(),
        target_type: parse("record.target_type", &message.target_type)?,
        resource_id: parse("record.resource_id", &message.resource_id)?,
        environment: parse_enum("record.environment", message.environment)?,
        cf_route_id: message.cf_route_id,
        status: parse_enum("record.status", message.status)?,
    })
}

pub(crate) async fn ensure_dns_record(
    app: &App,
    request: Request<EnsureDnsRecordRequest>,
) -> Result<EnsureDnsRecordResponse> {
    let ctx = write_ctx(&request)?;
    let message = required("record", request.into_inner().record)?;
    let platform: PlatformId = parse("record.platform_id", &message.platform_id)?;
    let scope = ctx.platform(&platform)?;
    let done = ops::ensure(app, &ctx, &scope, read(message, &platform, &app.settings.base_domain)?).await?;
    Ok(EnsureDnsRecordResponse { record: Some(done.value.into()) })
}

pub(crate) async fn delete_dns_record(
    app: &App,
    request: Request<DeleteDnsRecordRequest>,
) -> Result<DeleteDnsRecordResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let id = parse("dns_record_id", &message.dns_record_id)?;
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    ops::delete_once(app, &ctx, &scope, id).await?;
    Ok(DeleteDnsRecordResponse {})
}
