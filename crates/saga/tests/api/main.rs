//! The engine on real Postgres, with steps whose effects can be counted. One binary: it links once.

// Helpers of tests may unwrap as tests do; clippy knows them by this attribute.
#[cfg(test)]
mod asked;
#[cfg(test)]
mod back;
#[cfg(test)]
mod behind;
#[cfg(test)]
mod beside;
#[cfg(test)]
mod causes;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod death;
#[cfg(test)]
mod forth;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod loss;
#[cfg(test)]
mod many;
#[cfg(test)]
mod random;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod wire;
#[cfg(test)]
mod world;
