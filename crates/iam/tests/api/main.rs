//! Tests of iam in one binary, which links only once. Each test has its own database and service.

// The attribute allows `unwrap` in helper functions of tests.
#[cfg(test)]
mod bindings;
#[cfg(test)]
mod can;
#[cfg(test)]
mod database;
#[cfg(test)]
mod document;
#[cfg(test)]
mod every_operation;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod races;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod revocations;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod suspended;
#[cfg(test)]
mod world;
