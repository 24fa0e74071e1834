//! Entities: the tree of tenants inside a platform.
//!
//! Table `entities`. The counters `entities:{platform}` and `entities:{platform}:{type}` hold the numbers of entities
//! that are not deleted.

pub(crate) mod grpc;
mod http;
pub(crate) mod model;
pub(crate) mod ops;
pub(crate) mod store;
mod view;

use web::ServiceConfig;

use crate::slices::Slice;

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "entity";

pub(crate) const SLICE: Slice = Slice {
    http,
    audit_type: Some(AUDIT_TYPE),
    counter_sources: &[store::COUNTER_SOURCE, store::COUNTER_SOURCE_BELOW],
};

fn http(config: &mut ServiceConfig) {
    config
        .service(http::list)
        .service(http::create)
        .service(http::get)
        .service(http::update)
        .service(http::delete)
        .service(http::ancestors)
        .service(http::descendants);
}
