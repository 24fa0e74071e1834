//! Custom domains: host names of customers, each attached to a DNS record.
//!
//! Table `custom_domains`. The registry stores when each pending domain is due for a check; provisioning claims the due
//! ones, checks that they point to their targets, and reports. A pending domain proves nothing: any number of platforms
//! may claim a host name, and the first verified claim gets it (`verification`). Deletion removes the row. The list has
//! no total, so it needs no counter.

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

/// Settings of custom domains.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainSettings {
    /// Maximum time that a custom domain may stay pending before its claim lapses.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub claim_period: Duration,
}

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "custom_domain";

pub(crate) const SLICE: Slice = Slice { http, audit_type: Some(AUDIT_TYPE), counter_sources: &[] };

fn http(config: &mut ServiceConfig) {
    config
        .service(http::pending)
        .service(http::list)
        .service(http::create)
        .service(http::get_explanation)
        .service(http::update)
        .service(http::delete);
}
