//! The audit log. Every write adds its entries; this slice reads them.
//!
//! Table `audit_log`, which all services share; the registry adds the indexes of its filters. The counters `audit` and
//! `audit:{platform}` hold the numbers of entries.

mod filter;
mod http;
mod model;
mod store;

use web::ServiceConfig;

use crate::slices::Slice;

pub(crate) const SLICE: Slice = Slice { http, audit_type: None, counter_sources: &[] };

fn http(config: &mut ServiceConfig) {
    config.service(http::list_of_platform).service(http::list);
}
