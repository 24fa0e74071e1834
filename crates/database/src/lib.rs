//! The database of a service: pool, named transactions, and the one statement that every write ends in.

mod constraint;
mod disk;
mod housekeeping;
mod idempotency;
mod keyset;
pub mod migrate;
pub mod outbox;
mod pool;
mod record;
mod recount;
mod sighted;
mod total;
mod tx;

pub use constraint::OnConstraint;
pub use diesel_async::AsyncPgConnection as Conn;
pub use housekeeping::housekeeping;
pub use migrate::Migrations;
pub use pool::{Database, DatabaseSettings, Db};
pub use record::{Audit, Effect, NoEffect, Record, audit_counter, counter_total, tables};
pub use recount::{Drift, Recount, Tally};
pub use sighted::PooledConn;
pub use total::total;
pub use tx::{ReadBody, Tx, TxBody};
