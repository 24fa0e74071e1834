//! Platforms: the tenant boundary, with their lifecycle and its history.
//!
//! Tables `platforms` and `lifecycle_events`. The counter `platforms` holds the number of platforms that are not
//! deleted, and `lifecycle:{id}` the number of events of a platform.

mod explain;
pub(crate) mod grpc;
mod http;
pub(crate) mod lifecycle;
pub(crate) mod model;
pub(crate) mod ops;
pub(crate) mod quota;
pub(crate) mod store;
mod view;

use std::{sync::Arc, time::Duration};

use runtime::{shutdown::Shutdown, worker};
use web::ServiceConfig;

use crate::{App, slices::Slice};

const PERIOD_END_EVERY: Duration = Duration::from_secs(30);

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "platform";

pub(crate) const SLICE: Slice = Slice {
    http,
    audit_type: Some(AUDIT_TYPE),
    counter_sources: &[store::COUNTER_SOURCE, lifecycle::COUNTER_SOURCE],
};

fn http(config: &mut ServiceConfig) {
    config
        .service(http::list)
        .service(http::create)
        .service(http::get)
        .service(http::get_explanation)
        .service(http::update)
        .service(http::delete)
        .service(http::suspend)
        .service(http::restore)
        .service(http::cancel)
        .service(http::delete_and_deprovision)
        .service(http::lifecycle);
}

/// Starts the worker that ends platforms whose paid period is over.
pub(crate) fn start_workers(app: &App, shutdown: &Shutdown) {
    let app = app.clone();
    worker::run(shutdown, "period_end", PERIOD_END_EVERY, Arc::default(), move || {
        let app = app.clone();
        async move { ops::end_one_period(&app).await }
    });
}
