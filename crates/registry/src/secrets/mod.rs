//! Secrets of resources: what is known of them, never a value.
//!
//! Table `secrets`.

pub(crate) mod grpc;
mod http;
mod model;
mod ops;
mod store;

use web::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    config.service(http::list).service(http::mark);
}
