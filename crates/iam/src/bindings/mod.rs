//! Bindings: what people were granted.
//!
//! Table `bindings`. A person is known by what their identity provider calls them. What is deleted is gone; that it was
//! there is in the audit log.

pub(crate) mod grpc;
mod http;
mod model;
mod ops;
pub(crate) mod store;
mod view;

use web::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    config.service(http::list).service(http::create).service(http::delete);
}
