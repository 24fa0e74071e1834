//! Workspace stacks: running instances of a stack template, or custom ones, for a tenant.
//!
//! Tables `stacks` and `template_versions`. The list has no total, so there is no counter. `ops` makes a stack, `change`
//! brings it to another version, back, or takes it down. Provisioning does the work and reports it: see `report`.

mod change;
mod clear;
pub(crate) mod definition;
mod dependents;
mod explain;
pub(crate) mod grpc;
mod http;
mod inputs;
pub(crate) mod model;
pub(crate) mod ops;
mod plan;
mod report;
pub(crate) mod store;
mod template;

use web::ServiceConfig;

use crate::slices::Slice;

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "stack";

pub(crate) const SLICE: Slice = Slice { http, audit_type: Some(AUDIT_TYPE), tallies: &[] };

fn http(config: &mut ServiceConfig) {
    config
        .service(http::list)
        .service(http::create)
        .service(http::get)
        .service(http::explained)
        .service(http::upgrade)
        .service(http::rollback)
        .service(http::remove);
}
