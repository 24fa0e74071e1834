//! Onboardings: the table `sessions`, each row with the saga of the same id, and the counter `sessions`.

pub(crate) mod explain;
mod http;
pub(crate) mod model;
mod ops;
mod quota;
mod store;

use web::ServiceConfig;

/// The routes under `/api/v1/onboarding`.
pub(crate) fn http(config: &mut ServiceConfig) {
    config
        .service(http::create)
        .configure(common)
        .service(http::pause)
        .service(http::resume)
        .service(http::discard)
        .service(http::follow)
        .service(http::explained);
}

/// The routes at the service's own root.
pub(crate) fn root(config: &mut ServiceConfig) {
    config.service(http::create_at_root).configure(common);
}

/// The routes in both places.
fn common(config: &mut ServiceConfig) {
    config.service(http::list).service(http::get).service(http::update);
}
