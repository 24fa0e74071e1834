//! Tests of the gateway with real clients and services on sockets. They are one binary, so that it is linked once.

// With this attribute, clippy lets the helpers of tests unwrap.
#[cfg(test)]
mod auth;
#[cfg(test)]
mod browsers;
#[cfg(test)]
mod compress;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod edges;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod guessing;
#[cfg(test)]
mod health;
#[cfg(test)]
mod iam;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod oidc;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod world;
