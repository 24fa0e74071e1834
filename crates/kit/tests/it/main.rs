//! Kit against the real outside: what only shows over a socket.

#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod workers;
