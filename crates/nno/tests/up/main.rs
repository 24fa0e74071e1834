//! The real `nno`, as a process with a PostgreSQL of its own. The tests run as root (PostgreSQL then as an unprivileged
//! user) and as an ordinary user alike.

#[cfg(test)]
mod access;
#[cfg(test)]
mod client;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod encrypted;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod owasp;
#[cfg(test)]
mod page;
#[cfg(test)]
mod person;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod process_keys;
#[cfg(test)]
mod prompt;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod stack;
#[cfg(test)]
mod start;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod system;
#[cfg(test)]
mod terminal;
