//! Builds of a platform per environment.
//!
//! Table `builds`. Services start and finish builds; the HTTP API reads and corrects them.

pub(crate) mod grpc;
mod http;
pub(crate) mod model;
mod ops;
pub(crate) mod store;
pub(crate) mod view;

use web::ServiceConfig;

use crate::slices::Slice;

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "build";

pub(crate) const SLICE: Slice = Slice { http, audit_type: Some(AUDIT_TYPE), counter_sources: &[] };

fn http(config: &mut ServiceConfig) {
    config.service(http::list).service(http::latest).service(http::update);
}
