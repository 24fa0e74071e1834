//! Versions of stack templates: published once, never changed, perhaps deprecated.
//!
//! Table `stack_versions`. A template's `latest_version` is kept in the transaction of every publish and deprecation,
//! which hold the template's row for it.

mod dependencies;
mod http;
pub(crate) mod model;
mod ops;
mod rules;
pub(crate) mod store;
mod usage;

use web::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    // A version's path last: those of the others also have its shape.
    config
        .service(http::list)
        .service(http::publish)
        .service(http::usage)
        .service(http::get)
        .service(http::deprecate);
}
