//! Tests of the stack registry in one binary, which links only once. Each test has its own database and service.

// The attribute allows `unwrap` in helper functions of tests.
#[cfg(test)]
mod catalogue;
#[cfg(test)]
mod database;
#[cfg(test)]
mod definition;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod document;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod open;
#[cfg(test)]
mod races;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod search;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod writes;
