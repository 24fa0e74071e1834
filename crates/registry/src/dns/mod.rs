//! DNS records: host names that point to resources.
//!
//! Table `dns_records`. Deletion removes the row and frees the host name. The list has no total, so it needs no
//! counter.

pub(crate) mod grpc;
mod http;
mod model;
mod ops;
pub(crate) mod store;

use web::ServiceConfig;

use crate::slices::Slice;

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "dns_record";

pub(crate) const SLICE: Slice = Slice { http, audit_type: Some(AUDIT_TYPE), counter_sources: &[] };

fn http(config: &mut ServiceConfig) {
    config
        .service(http::list)
        .service(http::create)
        .service(http::get_of_stack)
        .service(http::delete)
        .service(http::get);
}
