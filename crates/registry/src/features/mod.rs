//! Features: which an entity runs in which environment, and how they get there.
//!
//! Tables `feature_activations`, `stack_features` and `manifests`. A list counter `features:{entity}` holds how many
//! activations an entity has. Provisioning does the work, and `report` records its reports. The lifecycle itself is
//! [`domain::deployment`]: `ops` and `report` load rows, apply an event, and store the result. A console reads the slice
//! `manifest`.

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

pub(crate) const SLICE: Slice = Slice { http, audit_type: Some(AUDIT_TYPE), tallies: &[store::TALLY] };

fn http(config: &mut ServiceConfig) {
    config
        .service(http::list)
        .service(http::activate)
        .service(http::deactivate)
        .service(http::get)
        .service(http::explained);
}
