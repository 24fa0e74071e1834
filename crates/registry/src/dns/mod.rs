//! DNS records: host names that lead to resources.
//!
//! Table `dns_records`. A record that is deleted is gone, and its host name free. The list has no total, so there is
//! no counter.

pub(crate) mod grpc;
mod http;
mod model;
mod ops;
pub(crate) mod store;

use web::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    config
        .service(http::list)
        .service(http::create)
        .service(http::get_of_stack)
        .service(http::delete)
        .service(http::get);
}
