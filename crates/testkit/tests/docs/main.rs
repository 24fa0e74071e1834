//! Tests that compare the documentation with the code. None of them needs a database. The slow ones are ignored, and
//! `scripts/check-docs` runs them.

#[cfg(test)]
mod access;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod language;
#[cfg(test)]
mod links;
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
