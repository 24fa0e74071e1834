//! Compose file, image and TLS of deployments, checked against the code.

// Helpers of tests may unwrap as tests do; clippy knows them by this attribute.
#[cfg(test)]
mod compose;
#[cfg(test)]
mod image;
#[cfg(test)]
mod tls;
