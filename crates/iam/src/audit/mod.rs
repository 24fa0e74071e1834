//! Audit log of iam: changes of keys and bindings. `database` writes an entry with every change; this module reads them.
//!
//! Table `audit_log` (shared).

mod http;
mod model;
mod store;

use web::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    config.service(http::list);
}
