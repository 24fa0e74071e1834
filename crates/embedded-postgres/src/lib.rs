//! Finds, initialises, starts, supervises and stops a PostgreSQL cluster that belongs to this program alone.
//!
//! `nno up` uses it with durable storage, the tests without fsync. It uses the installed PostgreSQL programs and
//! downloads nothing.
//!
//! Layout of the caller's data folder:
//!
//! ```text
//! postgres/               the folder of this crate
//!   nno-cluster           marks the folder as ours; locked while a process uses it
//!   cluster/              PostgreSQL's data directory (PGDATA)
//!   initdb-XXXXXX/        a data directory that initdb creates, renamed to `cluster` when complete
//!   port                  the port of the last start
//!   postgres.log          PostgreSQL's log (`postgres.log.1` is the previous one)
//! ```
//!
//! PostgreSQL refuses to run as root. If this program runs as root, PostgreSQL runs as an unprivileged user, which then
//! owns `cluster/`. It listens only on 127.0.0.1, with SCRAM passwords and without a Unix socket. Its environment is
//! empty, so that neither our secrets nor `PG*` variables of the user reach it.

mod account;
mod binaries;
mod client;
mod cluster;
mod error;
mod folder;
mod initdb;
mod orphan;
mod port;
mod postmaster;
mod service_database;

pub use binaries::Binaries;
pub use cluster::{Cluster, SUPERUSER, Settings, discard};
pub use error::Error;
pub use postmaster::Exit;
pub use service_database::{SERVICE_DATABASE_SQL, ServiceDatabase, ensure_service_database};
