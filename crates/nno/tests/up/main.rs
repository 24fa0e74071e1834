//! Tests of the real `nno` as a process with a PostgreSQL of its own. They run as root (PostgreSQL then runs as an
//! unprivileged user) or as an ordinary user.

#[cfg(test)]
mod access;
#[cfg(test)]
mod client;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod documentation;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod owasp;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod process_keys;
#[cfg(test)]
mod prompt;
#[cfg(test)]
mod rejected_start;
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
#[cfg(test)]
mod tls;
#[cfg(test)]
mod user;
