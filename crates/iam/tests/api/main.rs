//! The tests of iam, in one binary: it links once. Each has a database and a service of its own.

// Helpers of tests may unwrap as tests do; clippy knows them by this attribute.
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
