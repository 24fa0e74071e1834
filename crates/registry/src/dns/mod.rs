//! DNS records: host names that lead to resources.
//!
//! Table `dns_records`. A record that is deleted is gone, and its host name free. The list has no total, so there is
//! no counter.

pub(crate) mod grpc;
mod http;
mod model;
mod ops;
pub(crate) mod store;

use web::ServiceConfig;

use crate::slices::Slice;

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "dns_record";

pub(crate) const SLICE: Slice = Slice { http, audit_type: Some(AUDIT_TYPE), tallies: &[] };

fn http(config: &mut ServiceConfig) {
    config
        .service(http::list)
        .service(http::create)
        .service(http::get_of_stack)
        .service(http::delete)
        .service(http::get);
}
