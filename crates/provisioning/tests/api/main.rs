//! The tests of the provisioning service, in one binary: it links once.

// Helpers of tests may unwrap as tests do; clippy knows them by this attribute.
#[cfg(test)]
mod document;
#[cfg(test)]
mod domains;
#[cfg(test)]
mod explained;
#[cfg(test)]
mod feature_failures;
#[cfg(test)]
mod features;
#[cfg(test)]
mod frozen;
#[cfg(test)]
mod jobs;
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
mod steering;
#[cfg(test)]
mod superseded;
#[cfg(test)]
mod system;
#[cfg(test)]
mod takedown;
