//! Versions of stack templates. A published version never changes, except that it may be deprecated.
//!
//! Table `stack_versions`. Every publish and deprecation updates the template's `latest_version` in its transaction,
//! which locks the row of the template.

mod dependencies;
mod http;
pub(crate) mod model;
mod ops;
mod rules;
pub(crate) mod store;
mod usage;

use web::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    // The path of a version also matches the others, so it comes last.
    config
        .service(http::list)
        .service(http::publish)
        .service(http::usage)
        .service(http::get)
        .service(http::deprecate);
}
