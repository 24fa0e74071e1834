//! Tests with real clusters. They run as root (PostgreSQL then runs as an unprivileged user) and as an ordinary user.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod scratch;
#[cfg(test)]
mod service_database;
#[cfg(test)]
mod test_postgres;
