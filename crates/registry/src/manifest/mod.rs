//! Manifests: the features of an entity, which a console loads at every start.
//!
//! Manifests are read far more often than they change. Each has a tag in the table `manifests`, which every change of
//! an activation renews. A client that sends the current tag is answered without reading the features.

mod http;
mod store;

use web::ServiceConfig;

use crate::slices::Slice;

pub(crate) const SLICE: Slice = Slice { http, audit_type: None, counter_sources: &[] };

fn http(config: &mut ServiceConfig) {
    config.service(http::get);
}
