//! Resources: the provisioned things of a platform.
//!
//! Table `resources`. List counters `resources:{platform}` and `resources:{platform}:{entity}` hold how many are not
//! deleted. The routes are mounted twice, under `/api/v1` and under `/api/v1/resources`.

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
    tallies: &[store::TALLY, store::TALLY_OF_ENTITY, store::TALLY_UNDER],
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
