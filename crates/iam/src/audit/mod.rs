//! The audit log of iam: who granted what, and who took it back. Kit writes it with every change; here it is read.
//!
//! Table `audit_log` (shared).

mod http;
mod model;
mod store;

use web::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    config.service(http::list);
}
