//! Custom domains: customers' own host names, each on a DNS record.
//!
//! Table `custom_domains`. The registry keeps when each pending one is due; provisioning claims what is due, looks
//! whether it leads to its target, and reports. A pending domain is a claim that proves nothing: any number of platforms
//! may claim a host name, and the first whose claim is verified has it (`verification`). A domain that is deleted is
//! gone. The list has no total, so there is no counter.

mod explain;
pub(crate) mod grpc;
mod http;
pub(crate) mod model;
mod ops;
pub(crate) mod store;
mod verification;
pub(crate) mod view;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::ServiceConfig;

use crate::slices::Slice;

/// How long claims of host names hold.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainSettings {
    /// How long a custom domain may stay pending before its claim lapses.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub claim_period: Duration,
}

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "custom_domain";

pub(crate) const SLICE: Slice = Slice { http, audit_type: Some(AUDIT_TYPE), tallies: &[] };

fn http(config: &mut ServiceConfig) {
    config
        .service(http::pending)
        .service(http::list)
        .service(http::create)
        .service(http::explained)
        .service(http::update)
        .service(http::delete);
}
