//! All tests of the registry in one binary, which links only once. Each test has its own database and service.

// Test helpers may unwrap like tests; clippy recognizes them by this attribute.
#[cfg(test)]
mod audit;
#[cfg(test)]
mod branches;
#[cfg(test)]
mod builds;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod database;
#[cfg(test)]
mod dns;
#[cfg(test)]
mod document;
#[cfg(test)]
mod domains;
#[cfg(test)]
mod entities;
#[cfg(test)]
mod every_operation;
#[cfg(test)]
mod explained;
#[cfg(test)]
mod feature;
#[cfg(test)]
mod feature_jobs;
#[cfg(test)]
mod features;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod heads;
mod imports;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod measured;
#[cfg(test)]
mod names;
#[cfg(test)]
mod operation;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod platforms;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod quota;
#[cfg(test)]
mod races;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod recount;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod schemas;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod stack;
#[cfg(test)]
mod stack_jobs;
#[cfg(test)]
mod stacks;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod walks;
#[cfg(test)]
mod world;
#[cfg(test)]
mod writes;
