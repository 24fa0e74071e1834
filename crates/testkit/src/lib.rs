//! What tests are made of.
//!
//! A [`TestDb`] is a clone of a template database that is migrated once per run, so every test has real Postgres to
//! itself for some 30 ms. A [`TestService`] is a real service on real sockets. Callers sign as the gateway or as
//! another service. Everything panics where something is not as it must be: this crate is for tests alone.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot be set up must fail"
)]

mod certificates;
mod client;
mod collector;
pub mod contract;
mod db;
pub mod document;
mod forged;
mod port;
pub mod reach;
mod response;
mod system;
pub mod tap;
mod test_service;

pub use certificates::Authority;
pub use client::{believing, client};
pub use collector::Collector;
pub use db::TestDb;
pub use port::HeldPort;
pub use response::Response;
pub use system::System;
pub use test_service::{Keys, PROCESSES, TestService};
