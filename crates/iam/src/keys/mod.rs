//! API keys, which identify programs.
//!
//! Table `keys`. A key is never deleted, so that its history stays known. Its secret is shown once and never stored.

mod http;
pub(crate) mod model;
mod ops;
pub(crate) mod resolve;
mod store;
mod usage;
mod view;

use web::ServiceConfig;

pub(crate) use usage::{KeyUsage, start_workers};

pub(crate) fn http(config: &mut ServiceConfig) {
    config.service(http::list).service(http::create).service(http::revoke);
}
