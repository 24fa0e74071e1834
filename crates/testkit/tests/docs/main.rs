//! What the documentation says, held against what it is about. Nothing here needs a database; what takes minutes is
//! ignored, and run by `scripts/check-docs`.

#[cfg(test)]
mod access;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod owasp;
#[cfg(test)]
mod page;
#[cfg(test)]
mod places;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod settings;
