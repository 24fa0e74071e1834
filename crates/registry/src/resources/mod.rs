//! Resources: the provisioned infrastructure of a platform.
//!
//! Table `resources`. The counters `resources:{platform}` and `resources:{platform}:{entity}` hold the numbers of
//! resources that are not deleted. The routes are mounted twice, under `/api/v1` and under `/api/v1/resources`.

pub(crate) mod grpc;
mod http;
pub(crate) mod model;
pub(crate) mod ops;
pub(crate) mod store;

use web::ServiceConfig;

use crate::slices::Slice;

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "resource";

pub(crate) const SLICE: Slice = Slice {
    http,
    audit_type: Some(AUDIT_TYPE),
    counter_sources: &[store::COUNTER_SOURCE, store::COUNTER_SOURCE_OF_ENTITY, store::COUNTER_SOURCE_BELOW],
};

pub(crate) fn http(config: &mut ServiceConfig) {
    config
        .service(http::lookup)
        .service(http::list)
        .service(http::list_of_entity)
        .service(http::register)
        .service(http::get)
        .service(http::update)
        .service(http::delete);
}
