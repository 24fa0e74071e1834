//! Bindings: roles of users within a scope.
//!
//! Table `bindings`. The identity provider's subject identifies a user. A deleted binding leaves only audit entries.

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
