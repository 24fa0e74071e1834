//! Tests of the engine on PostgreSQL, with steps whose effects can be counted. One binary, so that it links once.

// With this attribute, clippy lets the helpers of tests unwrap as tests do.
#[cfg(test)]
mod causes;
#[cfg(test)]
mod clock_skew;
#[cfg(test)]
mod compensation;
#[cfg(test)]
mod concurrent_steps;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod forward;
#[cfg(test)]
mod job_waits;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod many_sagas;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod random_faults;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod saga_waits;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod undo_requests;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod world;
