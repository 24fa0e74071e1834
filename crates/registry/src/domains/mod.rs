//! Custom domains: customers' own host names, each on a DNS record.
//!
//! Table `custom_domains`. The registry keeps when each pending one is due; provisioning claims what is due, looks
//! whether it leads to its target, and reports. A domain that is deleted is gone, and its host name free. The list has
//! no total, so there is no counter.

mod explain;
pub(crate) mod grpc;
mod http;
pub(crate) mod model;
mod ops;
pub(crate) mod store;

use kit::http::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    config
        .service(http::pending)
        .service(http::list)
        .service(http::create)
        .service(http::explained)
        .service(http::update)
        .service(http::delete);
}
