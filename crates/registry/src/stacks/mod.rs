//! Workspace stacks: running instances of a stack template, or custom stacks, for a tenant.
//!
//! Tables `stacks` and `template_versions`. The list has no total, so it needs no counter. `ops` creates, upgrades and
//! rolls back stacks, and `deletion` deletes them; provisioning does the work, and `report` records its reports.
//! [`domain::deployment`] defines the lifecycle: `ops` and `report` load rows, apply an event, and store the result.

mod deletion;
mod explain;
pub(crate) mod grpc;
mod http;
pub(crate) mod model;
pub(crate) mod ops;
mod report;
pub(crate) mod store;
mod template;
mod view;

use web::ServiceConfig;

use crate::slices::Slice;

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "stack";

pub(crate) const SLICE: Slice = Slice { http, audit_type: Some(AUDIT_TYPE), counter_sources: &[] };

fn http(config: &mut ServiceConfig) {
    config
        .service(http::list)
        .service(http::create)
        .service(http::get)
        .service(http::get_explanation)
        .service(http::upgrade)
        .service(http::rollback)
        .service(http::remove);
}
