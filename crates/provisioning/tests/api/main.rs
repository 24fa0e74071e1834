//! The tests of the provisioning service, in one binary: it links once.

// Helpers of tests may unwrap as tests do; clippy knows them by this attribute.
#[cfg(test)]
mod domains;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod providers;
