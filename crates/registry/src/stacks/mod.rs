//! Workspace stacks: running instances of a stack template, or custom ones, for a tenant.
//!
//! Table `stacks`. Its list has no total, so there is no counter.

pub(crate) mod grpc;
mod http;
pub(crate) mod model;
pub(crate) mod ops;
pub(crate) mod store;
mod template;

use kit::http::ServiceConfig;

pub(crate) fn http(config: &mut ServiceConfig) {
    config.service(http::list).service(http::create).service(http::get);
}
