//! Stack templates: names under which versions are published.
//!
//! Table `stack_templates`. Templates are never deleted, so a name can never be used again.

mod filter;
mod http;
pub(crate) mod model;
mod ops;
pub(crate) mod store;

use web::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    config.service(http::list).service(http::create).service(http::get).service(http::update);
}
