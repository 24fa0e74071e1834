//! Status of the secrets of resources. The registry never stores a value.
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

pub(crate) const SLICE: Slice = Slice { http, audit_type: Some(AUDIT_TYPE), counter_sources: &[] };

fn http(config: &mut ServiceConfig) {
    config.service(http::list).service(http::mark);
}
