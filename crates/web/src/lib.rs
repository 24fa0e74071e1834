//! The HTTP server of every service.

pub mod chunks;
mod document;
mod entry;
pub mod error;
pub mod events;
mod extract;
mod head;
mod health;
mod operations;
mod path;
mod paths;
mod ready;
mod response;
mod server;
mod workers;

pub use document::{ErrorEnvelope, document, error_response, name_aliases, response_name};
pub use entry::{RouteName, enter, request_id};
pub use extract::{Command, Context, ListQuery, Locate, NoBody, Query, Unchecked};
pub use head::read_route;
pub use health::configure as health;
pub use path::{Path, PathPart, PathParts};
pub use paths::Paths;
pub use ready::{check_ready, healthcheck};
pub use response::{HttpError, HttpResult, Paged, Pagination, Success, WriteResponse, read};
pub use server::{HttpSettings, Routes, ServiceConfig, Shared, serve};
pub use workers::Workers;
