//! What deployments are told, against what the services can be told.

// Helpers of tests may unwrap as tests do; clippy knows them by this attribute.
#[cfg(test)]
mod compose;
#[cfg(test)]
mod image;
#[cfg(test)]
mod tls;
