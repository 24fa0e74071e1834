//! The tests of the stack registry, in one binary: it links once. Each has a database and a service of its own.

// Helpers of tests may unwrap as tests do; clippy knows them by this attribute.
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
