//! Database access of a service: connection pool, named transactions, and the single statement that ends every write.

mod connection;
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
mod total;
mod tx;

pub use connection::PooledConn;
pub use constraint::OnConstraint;
pub use diesel_async::AsyncPgConnection as Conn;
pub use housekeeping::housekeeping;
pub use migrate::Migrations;
pub use pool::{Database, DatabaseSettings, Db};
pub use record::{Audit, Effect, NoEffect, Record, audit_counter, counter_total, tables};
pub use recount::{CounterSource, Drift, Recount};
pub use total::total;
pub use tx::{ReadBody, Tx, TxBody};
