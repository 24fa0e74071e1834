//! Jobs: requests to provisioning and their status. Tables `sagas` and `saga_steps`.

pub(crate) mod explain;
mod http;
pub(crate) mod model;
pub(crate) mod ops;
mod watch;

pub(crate) use watch::watch;

use web::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    config
        .service(http::provision_platform)
        .service(http::deprovision_platform)
        .service(http::activate_feature)
        .service(http::deactivate_feature)
        .service(http::activate_stack)
        .service(http::deactivate_stack)
        .service(http::list)
        .service(http::get)
        .service(http::retry)
        .service(http::cancel)
        .service(http::pause)
        .service(http::resume)
        .service(http::discard)
        .service(http::follow)
        .service(http::explained);
}
