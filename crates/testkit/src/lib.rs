//! Test support.
//!
//! A [`TestDb`] is a clone of a template database that is migrated once per run, so each test gets its own PostgreSQL
//! database in about 30 ms. A [`TestService`] is a service on real sockets. Callers sign as the gateway or as a
//! different service. All functions panic on failure, because only tests use this crate.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot be set up must fail"
)]

pub mod access_matrix;
mod certificates;
mod client;
mod collector;
pub mod contract;
mod db;
pub mod document;
mod invalid_tokens;
mod port;
mod response;
mod system;
pub mod tap;
mod test_service;

pub use certificates::Authority;
pub use client::{client, client_trusting};
pub use collector::Collector;
pub use db::TestDb;
pub use port::ReservedPort;
pub use response::Response;
pub use system::System;
pub use test_service::{Keys, PROCESSES, TestService};
