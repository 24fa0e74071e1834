//! Runtime against the real outside.

#[cfg(test)]
mod telemetry;
