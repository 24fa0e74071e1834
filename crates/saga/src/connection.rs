//! A connection per statement, given back to its pool only when the statement was answered.
//!
//! Runners give up on statements: when a lease is lost, when the process stops, when the network has swallowed the
//! question. A connection with an answer outstanding would have its next user wait for that answer first.

use std::time::Duration;

use database::{Db, ReadBody};
use domain::{Error, Result};

/// How often a statement is sent when the database does not take it.
const SENDS: u32 = 7;
/// The pause before a statement is sent again, doubled each time.
const SEND_AGAIN: Duration = Duration::from_millis(20);

/// Runs `statement`, which is given up after `patience`.
///
/// # Errors
/// Those of `statement`; [`domain::Kind::ServiceUnavailable`] when there is no connection, or no answer in time.
pub(crate) async fn ask<T, F>(db: &Db, patience: Duration, statement: F) -> Result<T>
where
    F: ReadBody<T>,
{
    let connection = db.service_conn().await?;
    connection.mark_busy();
    let answer = tokio::time::timeout(patience, statement(&connection)).await;
    let answer = answer.map_err(|late| Error::unavailable("The database", late))?;
    connection.mark_idle();
    answer
}

/// Sends a statement again when the database does not take it: giving up would mean to put the saga off, and to do
/// the step again whose effect is there.
pub(crate) async fn insist<T, F>(statement: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut sent = 0;
    loop {
        sent += 1;
        match statement().await {
            Err(error) if sent < SENDS => {
                tracing::debug!(sent, context = error.log_context(), "sending it again");
                tokio::time::sleep(SEND_AGAIN * (1 << (sent - 1))).await;
            }
            result => return result,
        }
    }
}
