//! Onboarding sessions. Table `sessions`, and the saga of the same id. Counter `sessions`.

pub(crate) mod explain;
mod http;
pub(crate) mod model;
mod ops;
mod quota;
mod store;

use web::ServiceConfig;

/// Under `/api/v1/onboarding`.
pub(crate) fn http(config: &mut ServiceConfig) {
    config
        .service(http::create)
        .configure(both)
        .service(http::pause)
        .service(http::resume)
        .service(http::discard)
        .service(http::follow)
        .service(http::explained);
}

/// The same at the service's own root.
pub(crate) fn root(config: &mut ServiceConfig) {
    config.service(http::create_at_root).configure(both);
}

fn both(config: &mut ServiceConfig) {
    config.service(http::list).service(http::get).service(http::update);
}
