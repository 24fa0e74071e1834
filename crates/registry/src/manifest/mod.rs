//! The manifest: what a console loads at every start to know which features its entity runs.
//!
//! It is read far more often than it changes. So each has a tag of its own, in table `manifests`, which every change of
//! an activation writes anew; whoever holds the tag is answered without the features being looked at.

mod http;
mod store;

use web::ServiceConfig;

use crate::slices::Slice;

pub(crate) const SLICE: Slice = Slice { http, audit_type: None, tallies: &[] };

fn http(config: &mut ServiceConfig) {
    config.service(http::get);
}
