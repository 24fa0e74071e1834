//! ${Words} of a platform.
//!
//! Table `${plural}`. The counter `${plural}:{platform}` holds the total of the list.

mod http;
mod model;
mod ops;
mod store;

use web::ServiceConfig;

use crate::slices::Slice;

const AUDIT_TYPE: &str = "${singular}";

pub(crate) const SLICE: Slice =
    Slice { http, audit_type: Some(AUDIT_TYPE), counter_sources: &[store::COUNTER_SOURCE] };

fn http(config: &mut ServiceConfig) {
    config
        .service(http::list)
        .service(http::create)
        .service(http::get)
        .service(http::update)
        .service(http::delete);
}
