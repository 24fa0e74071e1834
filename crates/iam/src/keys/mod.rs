//! API keys: what programs are known by.
//!
//! Table `keys`. A key is never deleted, so that it can be told who had it. Its secret is shown once and kept nowhere.

mod http;
pub(crate) mod model;
mod ops;
pub(crate) mod resolve;
mod store;
mod used;
mod view;

use web::ServiceConfig;

pub(crate) use used::{Used, start_workers};

pub(crate) fn http(config: &mut ServiceConfig) {
    config.service(http::list).service(http::create).service(http::revoke);
}
