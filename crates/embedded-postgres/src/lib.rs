//! Finds, initialises, starts, supervises and stops a PostgreSQL cluster that belongs to this program alone.
//!
//! It serves `nno up` (durable) and the tests (no fsync). The binaries are the system's; nothing is downloaded.
//!
//! On disk, under the data folder of the caller:
//!
//! ```text
//! postgres/               the folder that is ours
//!   nno-cluster           marks it as ours; locked while a process uses it
//!   cluster/              PostgreSQL's data directory (PGDATA)
//!   initdb-XXXXXX/        a data directory being made, renamed to `cluster` when complete
//!   port                  the port of the last start
//!   postgres.log          PostgreSQL's own log (and `.1`, the one before)
//! ```
//!
//! PostgreSQL refuses to run as root, so root's children run as an unprivileged user, who then owns `cluster/`.
//! It listens on 127.0.0.1 only, with SCRAM passwords and without a Unix socket. The children get an empty
//! environment: neither our secrets nor stray `PG*` variables reach them.

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
