//! The audit log of iam: who granted what, and who took it back. Kit writes it with every change; here it is read.
//!
//! Table `audit_log` (kit's).

mod http;
mod model;
mod store;

use kit::http::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    config.service(http::list);
}
