//! The infrastructure of every process: configuration, telemetry, time, fair sharing, background work, and a shutdown
//! that lets work in progress end.

pub mod backoff;
pub mod clock;
pub mod config;
pub mod error;
pub mod fair;
mod probe;
pub mod shutdown;
pub mod telemetry;
pub mod worker;

pub use probe::Probe;
