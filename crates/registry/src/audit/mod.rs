//! The audit log: who changed what. Kit writes it with every change; here it is read.
//!
//! Table `audit_log` (shared; the indexes of the filters are ours). Counters `audit` and `audit:{platform}` hold how
//! many entries there are.

mod filter;
mod http;
mod model;
mod store;

use web::ServiceConfig;

use crate::slices::Slice;

pub(crate) const SLICE: Slice = Slice { http, audit_type: None, tallies: &[] };

fn http(config: &mut ServiceConfig) {
    config.service(http::of_platform).service(http::list);
}
