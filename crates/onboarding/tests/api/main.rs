//! Onboarding with its real peers (registry, stack registry, provisioning and iam) on real sockets and PostgreSQL, with a
//! fake provider.

#[cfg(test)]
mod causes;
#[cfg(test)]
mod document;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod explained;
#[cfg(test)]
mod features;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod onboardings;
#[cfg(test)]
mod quota;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod saga;
#[cfg(test)]
mod stacks;
#[cfg(test)]
mod system;
