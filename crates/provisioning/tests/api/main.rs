//! Tests of the provisioning service, in one binary so that they link only once.

// The attribute lets clippy treat the helpers as test code, which may unwrap.
#[cfg(test)]
mod document;
#[cfg(test)]
mod domains;
#[cfg(test)]
mod explanations;
#[cfg(test)]
mod feature_failures;
#[cfg(test)]
mod features;
#[cfg(test)]
mod frozen_replica;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod shop;
#[cfg(test)]
mod stack_failures;
#[cfg(test)]
mod stacks;
#[cfg(test)]
mod superseded;
#[cfg(test)]
mod system;
#[cfg(test)]
mod takedown;
