//! Real clusters, made and killed. They run as root (PostgreSQL's processes then as an unprivileged user) and as an
//! ordinary user alike.

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
