//! Secrets of resources: what is known of them, never a value.
//!
//! Table `secrets`.

pub(crate) mod grpc;
mod http;
mod model;
mod ops;
mod store;
mod view;

use web::ServiceConfig;

use crate::slices::Slice;

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "secret";

pub(crate) const SLICE: Slice = Slice { http, audit_type: Some(AUDIT_TYPE), tallies: &[] };

fn http(config: &mut ServiceConfig) {
    config.service(http::list).service(http::mark);
}
