//! Integration tests of the runtime.

#[cfg(test)]
mod telemetry;
