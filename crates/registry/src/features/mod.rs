//! Features: activations per entity and environment.
//!
//! Tables `feature_activations`, `stack_features` and `manifests`. The counter `features:{entity}` holds the number of
//! activations of an entity. Provisioning does the work, and `report` records its reports. [`domain::deployment`]
//! defines the lifecycle: `ops` and `report` load rows, apply an event, and store the result. The slice `manifest`
//! serves the activations to consoles.

mod explain;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod model;
pub(crate) mod ops;
mod report;
pub(crate) mod store;
pub(crate) mod view;

use web::ServiceConfig;

use crate::slices::Slice;

/// Type of the audit entries.
pub(crate) const AUDIT_TYPE: &str = "feature";

pub(crate) const SLICE: Slice =
    Slice { http, audit_type: Some(AUDIT_TYPE), counter_sources: &[store::COUNTER_SOURCE] };

fn http(config: &mut ServiceConfig) {
    config
        .service(http::list)
        .service(http::activate)
        .service(http::deactivate)
        .service(http::get)
        .service(http::get_explanation);
}
