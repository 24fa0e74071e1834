//! The caller's identity and permissions.

mod checks;
mod http;

pub(crate) use checks::Actions;
use web::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    config.service(http::whoami).service(http::can);
}
