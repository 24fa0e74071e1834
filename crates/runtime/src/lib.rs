//! What every process needs, whatever it serves: configuration, telemetry, time, fair shares, background work, and a
//! shutdown that lets work under way end.

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
