//! HTTP: one way in for every service.

mod answer;
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
mod server;
mod workers;

pub use answer::{Answer, HttpError, HttpResult, Paged, Pagination, Success, read};
pub use document::{ErrorEnvelope, document, error_response, name_aliases, response_name};
pub use entry::{RouteName, enter, request_id};
pub use extract::{Command, Context, ListQuery, Locate, NoBody, Query, Unchecked};
pub use head::read_route;
pub use health::configure as health;
pub use path::{Path, PathPart, PathParts};
pub use paths::Paths;
pub use ready::{ask_ready, healthcheck};
pub use server::{HttpSettings, Routes, ServiceConfig, Shared, serve};
pub use workers::Workers;
